//! From the message `check-request` to a [`Request`].
//!
//! Arguments come by name in any order, or, when none has a name, by position in one of two forms that are in the wild:
//! that of the C daemon (8 arguments) and that of its libmodsecurity fork (12). Whatever could make a rule see less
//! than the client sent (an argument twice, a misspelt name, a header list that is cut) is an error, never a guess.

use std::borrow::Cow;

use actors::spop::{Argument, Message, Messages, Value};
use actors::{Failure, FailureKind};
use bytes::Bytes;

use crate::engine::headers::Headers;
use crate::engine::request::{Endpoint, Request};
use crate::engine::text::Text;

/// The message that this agent answers.
const MESSAGE: &[u8] = b"check-request";

/// The C daemon's arguments.
const SHORT_FORM: [Field; 8] = [
    Field::UniqueId,
    Field::Method,
    Field::Path,
    Field::Query,
    Field::Version,
    Field::Headers,
    Field::BodySize,
    Field::Body,
];

/// The arguments of its libmodsecurity fork.
const LONG_FORM: [Field; 12] = [
    Field::UniqueId,
    Field::SourceAddress,
    Field::SourcePort,
    Field::TargetAddress,
    Field::TargetPort,
    Field::Method,
    Field::Path,
    Field::Query,
    Field::Version,
    Field::Headers,
    Field::BodySize,
    Field::Body,
];

/// A unique-id of HAProxy's longer than this is not passed on; its own default format has about 40 bytes.
const MAX_UNIQUE_ID: usize = 256;

/// What an argument means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Field {
    /// The application; with a single set of rules there is nothing to choose.
    Application,
    UniqueId,
    SourceAddress,
    SourcePort,
    TargetAddress,
    TargetPort,
    Method,
    Path,
    Query,
    Version,
    Headers,
    BodySize,
    Body,
}

const FIELDS: [Field; 13] = [
    Field::Application,
    Field::UniqueId,
    Field::SourceAddress,
    Field::SourcePort,
    Field::TargetAddress,
    Field::TargetPort,
    Field::Method,
    Field::Path,
    Field::Query,
    Field::Version,
    Field::Headers,
    Field::BodySize,
    Field::Body,
];

impl Field {
    /// The field with this name, or with the one that another agent gives it.
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"app" => Self::Application,
            b"unique-id" | b"id" => Self::UniqueId,
            b"src-ip" | b"ip" => Self::SourceAddress,
            b"src-port" => Self::SourcePort,
            b"dst-ip" | b"srvip" => Self::TargetAddress,
            b"dst-port" | b"srvport" => Self::TargetPort,
            b"method" => Self::Method,
            b"path" => Self::Path,
            b"query" => Self::Query,
            b"version" | b"reqver" => Self::Version,
            b"headers" | b"reqhdrs" => Self::Headers,
            b"body-size" => Self::BodySize,
            b"body" | b"reqbody" => Self::Body,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Application => "app",
            Self::UniqueId => "unique-id",
            Self::SourceAddress => "src-ip",
            Self::SourcePort => "src-port",
            Self::TargetAddress => "dst-ip",
            Self::TargetPort => "dst-port",
            Self::Method => "method",
            Self::Path => "path",
            Self::Query => "query",
            Self::Version => "version",
            Self::Headers => "headers",
            Self::BodySize => "body-size",
            Self::Body => "body",
        }
    }
}

fn invalid(cause: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(FailureKind::Invalid, cause)
}

/// Makes a request of the payload of a NOTIFY; `id` becomes the transaction's.
pub fn decode(payload: &Bytes, id: String) -> Result<Request, Failure> {
    let message = find_message(payload)?;
    Fields::of(&message)?.request(payload, id)
}

/// The one message of ours. Others in the same NOTIFY are for other purposes.
fn find_message(payload: &[u8]) -> Result<Message<'_>, Failure> {
    let mut found = None;
    for message in Messages::new(payload) {
        let message = message.map_err(|cause| invalid(cause.to_string()))?;
        if message.name == MESSAGE && found.replace(message).is_some() {
            return Err(invalid("two messages check-request in one notify"));
        }
    }
    found.ok_or_else(|| {
        let first =
            Messages::new(payload).next().and_then(Result::ok).map_or(&b""[..], |message| message.name);
        invalid(format!("message {}, expected check-request", Text(first)))
    })
}

/// The values of a message's arguments, by what they mean; NULL where there is none.
struct Fields<'a> {
    values: [Value<'a>; FIELDS.len()],
    given: [bool; FIELDS.len()],
}

impl<'a> Fields<'a> {
    fn of(message: &Message<'a>) -> Result<Self, Failure> {
        let mut fields = Self { values: [Value::Null; FIELDS.len()], given: [false; FIELDS.len()] };
        match message.arguments.clone().next() {
            Some(first) if !first.name.is_empty() => fields.by_name(message)?,
            _ => fields.by_position(message)?,
        }
        Ok(fields)
    }

    fn by_name(&mut self, message: &Message<'a>) -> Result<(), Failure> {
        for (index, Argument { name, value }) in message.arguments.enumerate() {
            if name.is_empty() {
                return Err(invalid(format!("argument {} has no name, though others have", index + 1)));
            }
            let field = Field::named(name).ok_or_else(|| {
                let known: Vec<_> = FIELDS.iter().map(|field| field.name()).collect();
                invalid(format!("unknown argument {}, expected some of {}", Text(name), known.join(" ")))
            })?;
            self.set(field, value)?;
        }
        Ok(())
    }

    fn by_position(&mut self, message: &Message<'a>) -> Result<(), Failure> {
        let arguments = message.arguments;
        // The second argument is the source address in the long form, the method (never NULL) in the short one.
        let second = arguments.clone().nth(1).map_or(Value::Null, |argument| argument.value);
        let is_address = second.address().is_some() || second == Value::Null;
        let form: &[Field] = match arguments.len() {
            12.. if is_address => &LONG_FORM,
            8.. => &SHORT_FORM,
            few => return Err(invalid(format!("{few} arguments without names, expected 8 or 12"))),
        };
        for (index, argument) in arguments.enumerate() {
            if !argument.name.is_empty() {
                let name = Text(argument.name);
                return Err(invalid(format!(
                    "argument {} has the name {name}, though others have none",
                    index + 1
                )));
            }
            if let Some(&field) = form.get(index) {
                self.set(field, argument.value)?;
            }
        }
        // What follows is not known, but for an address: people append `src` to the short form.
        let source =
            arguments.skip(form.len()).find(|extra| matches!(extra.value, Value::Ipv4(_) | Value::Ipv6(_)));
        match source {
            Some(source) if form.len() == SHORT_FORM.len() => self.set(Field::SourceAddress, source.value),
            _ => Ok(()),
        }
    }

    fn set(&mut self, field: Field, value: Value<'a>) -> Result<(), Failure> {
        let (Some(slot), Some(given)) =
            (self.values.get_mut(field as usize), self.given.get_mut(field as usize))
        else {
            return Ok(());
        };
        if std::mem::replace(given, true) {
            return Err(invalid(format!("argument {} given twice", field.name())));
        }
        *slot = value;
        Ok(())
    }

    fn get(&self, field: Field) -> Value<'a> {
        self.values.get(field as usize).copied().unwrap_or(Value::Null)
    }

    /// A value that `read` understands; NULL is `None`.
    fn optional<T>(
        &self,
        field: Field,
        expected: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let value = self.get(field);
        if value == Value::Null {
            return Ok(None);
        }
        let read = read(value).ok_or_else(|| {
            invalid(format!("argument {} is a {}, expected {expected}", field.name(), value.type_name()))
        })?;
        Ok(Some(read))
    }

    fn bytes(&self, field: Field) -> Result<Option<&'a [u8]>, Failure> {
        self.optional(field, "a string", |value| value.bytes())
    }

    /// Bytes that will be a C string.
    fn text(&self, field: Field) -> Result<Option<&'a [u8]>, Failure> {
        let text = self.bytes(field)?;
        if text.is_some_and(|text| text.contains(&0)) {
            return Err(invalid(format!("argument {} has a zero byte", field.name())));
        }
        Ok(text)
    }

    fn endpoint(&self, address: Field, port: Field) -> Result<Endpoint, Failure> {
        let address = self.optional(address, "an address", |value| value.address())?;
        let port = self.optional(port, "a port", |value| match value.bytes() {
            Some(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            None => u16::try_from(value.unsigned()?).ok(),
        })?;
        Ok(Endpoint { address: address.map(|address| address.to_canonical()), port: port.unwrap_or(0) })
    }

    fn headers(&self, payload: &Bytes) -> Result<Headers, Failure> {
        let headers = match self.get(Field::Headers) {
            Value::Binary(list) => Headers::Binary(payload.slice_ref(list)),
            Value::String(list) => Headers::Text(payload.slice_ref(list)),
            // Without its headers nobody may call a request clean; left out by the configuration is another matter.
            Value::Null if self.given.get(Field::Headers as usize) == Some(&true) => {
                return Err(invalid("argument headers is NULL: HAProxy could not fetch them"));
            }
            Value::Null => Headers::None,
            other => {
                let kind = other.type_name();
                return Err(invalid(format!(
                    "argument headers is a {kind}, expected req.hdrs_bin or req.hdrs"
                )));
            }
        };
        headers.check().map_err(|cause| invalid(cause.to_string()))?;
        Ok(headers)
    }

    fn request(&self, payload: &Bytes, id: String) -> Result<Request, Failure> {
        // Only for parts of the payload: it panics on any other bytes.
        let share = |part: &[u8]| payload.slice_ref(part);
        let method = self.text(Field::Method)?.filter(|method| !method.is_empty());
        let method = share(method.ok_or_else(|| invalid("no argument method"))?);
        let headers = self.headers(payload)?;
        let uri = match (self.text(Field::Path)?, self.text(Field::Query)?) {
            (Some(path), None) => share(path),
            (Some(path), Some(query)) => [path, b"?", query].concat().into(),
            (None, Some(_)) => return Err(invalid("argument query without a path")),
            // HAProxy finds no path in the two targets that have none.
            (None, None) if method == "CONNECT" => {
                Bytes::copy_from_slice(headers.first("host").unwrap_or_default())
            }
            (None, None) => Bytes::from_static(b"*"),
        };
        if uri.contains(&0) {
            return Err(invalid("the host has a zero byte"));
        }
        let version = match self.text(Field::Version)? {
            Some(version) => share(version.strip_prefix(b"HTTP/").unwrap_or(version)),
            None => Bytes::from_static(b"1.1"),
        };
        let body = self.bytes(Field::Body)?.unwrap_or_default();
        let body_size = self.optional(Field::BodySize, "a size", |value| value.unsigned())?;
        let printable =
            |id: &&[u8]| (1..=MAX_UNIQUE_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        Ok(Request {
            id,
            unique_id: self.bytes(Field::UniqueId)?.filter(printable).map(share),
            client: self.endpoint(Field::SourceAddress, Field::SourcePort)?,
            server: self.endpoint(Field::TargetAddress, Field::TargetPort)?,
            method,
            uri,
            version,
            headers,
            truncated: body_size.is_some_and(|size| size > body.len() as u64),
            body: share(body),
            payload: payload.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
