//! The arguments of a message, found by name in any order, or by position in one of the forms that existing
//! configurations use.

use actors::Failure;
use actors::spop::{Argument, Message, Value};
use bytes::Bytes;

use super::invalid;
use crate::message::headers::Headers;
use crate::message::quoted::Quoted;
use crate::message::request::{AnswerOptions, Endpoint};

/// The largest id of a rule.
const MAX_RULE_ID: i64 = i32::MAX as i64;

/// The arguments of the C daemon, by position.
pub(super) const SHORT_FORM: [Field; 8] = [
    Field::UniqueId,
    Field::Method,
    Field::Path,
    Field::Query,
    Field::Version,
    Field::Headers,
    Field::BodySize,
    Field::Body,
];

/// The arguments of the C daemon's fork for libmodsecurity, by position.
pub(super) const LONG_FORM: [Field; 12] = [
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

/// The arguments of an early Coraza agent's response, by position.
const RESPONSE_FORM: [Field; 6] =
    [Field::UniqueId, Field::Status, Field::Version, Field::Headers, Field::BodySize, Field::Body];

/// The arguments of an early Coraza agent's request, by position.
const CORAZA_FORM: [Field; 9] = [
    Field::UniqueId,
    Field::SourceAddress,
    Field::Method,
    Field::Path,
    Field::Query,
    Field::Version,
    Field::Headers,
    Field::BodySize,
    Field::Body,
];

/// The meaning of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Field {
    /// The application whose rules are used.
    Application,
    UniqueId,
    SourceAddress,
    SourcePort,
    TargetAddress,
    TargetPort,
    Method,
    Path,
    Query,
    Status,
    Version,
    Headers,
    BodySize,
    Body,
    /// Whether the answer lists the ids of the rules that matched.
    ExportRules,
    /// Whether the message is never denied.
    DetectOnly,
    /// The ids of rules that do not apply to this request.
    IgnoredRules,
}

/// All fields, in the order of their discriminants.
const ALL: [Field; COUNT] = [
    Field::Application,
    Field::UniqueId,
    Field::SourceAddress,
    Field::SourcePort,
    Field::TargetAddress,
    Field::TargetPort,
    Field::Method,
    Field::Path,
    Field::Query,
    Field::Status,
    Field::Version,
    Field::Headers,
    Field::BodySize,
    Field::Body,
    Field::ExportRules,
    Field::DetectOnly,
    Field::IgnoredRules,
];

impl Field {
    /// The field with this name, which may also be the name that another agent uses for it.
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
            b"status" => Self::Status,
            b"version" | b"reqver" => Self::Version,
            b"headers" | b"reqhdrs" => Self::Headers,
            b"body-size" => Self::BodySize,
            b"body" | b"reqbody" => Self::Body,
            b"exportRuleIDs" => Self::ExportRules,
            b"detect-only" => Self::DetectOnly,
            b"ignorerules" => Self::IgnoredRules,
            _ => return None,
        })
    }

    /// Whether a request may have this argument.
    fn is_of_request(self) -> bool {
        self != Self::Status
    }

    /// Whether a response may have this argument. The identifier of a response is the ticket that the agent gave.
    fn is_of_response(self) -> bool {
        match self {
            Self::Application | Self::UniqueId | Self::Status | Self::Version | Self::Headers => true,
            Self::BodySize | Self::Body | Self::ExportRules | Self::DetectOnly => true,
            Self::SourceAddress | Self::SourcePort | Self::TargetAddress | Self::TargetPort => false,
            Self::Method | Self::Path | Self::Query | Self::IgnoredRules => false,
        }
    }

    /// This agent's name of the argument.
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
            Self::Status => "status",
            Self::Version => "version",
            Self::Headers => "headers",
            Self::BodySize => "body-size",
            Self::Body => "body",
            Self::ExportRules => "exportRuleIDs",
            Self::DetectOnly => "detect-only",
            Self::IgnoredRules => "ignorerules",
        }
    }
}

/// The number of fields.
const COUNT: usize = Field::IgnoredRules as usize + 1;

/// The values of a message's arguments by field; NULL for an argument that the message lacks.
pub(super) struct Fields<'a> {
    values: [Value<'a>; COUNT],
    given: [bool; COUNT],
}

impl<'a> Fields<'a> {
    /// Reads the arguments of a request.
    ///
    /// # Errors
    /// When an argument is unknown or given twice, or names and positions do not fit.
    pub(super) fn of_request(message: &Message<'a>) -> Result<Self, Failure> {
        let mut fields = Self::none();
        if has_names(message) {
            fields.by_name(message, Field::is_of_request)?;
        } else if message.name == super::CORAZA_REQUEST {
            if message.arguments.len() < CORAZA_FORM.len() {
                return Err(invalid(format!(
                    "{} arguments without names, expected 9",
                    message.arguments.len()
                )));
            }
            fields.by_position(message, &CORAZA_FORM)?;
        } else {
            fields.request_by_position(message)?;
        }
        Ok(fields)
    }

    /// Reads the arguments of a response.
    ///
    /// # Errors
    /// When an argument is unknown or given twice, or names and positions do not fit.
    pub(super) fn of_response(message: &Message<'a>) -> Result<Self, Failure> {
        let mut fields = Self::none();
        if has_names(message) {
            fields.by_name(message, Field::is_of_response)?;
        } else if message.arguments.len() >= RESPONSE_FORM.len() {
            fields.by_position(message, &RESPONSE_FORM)?;
        } else {
            return Err(invalid(format!("{} arguments without names, expected 6", message.arguments.len())));
        }
        Ok(fields)
    }

    fn none() -> Self {
        Self { values: [Value::Null; COUNT], given: [false; COUNT] }
    }

    fn by_name(&mut self, message: &Message<'a>, is_known: fn(Field) -> bool) -> Result<(), Failure> {
        for (index, Argument { name, value }) in message.arguments.enumerate() {
            if name.is_empty() {
                return Err(invalid(format!("argument {} has no name, though others have", index + 1)));
            }
            let field = Field::named(name).filter(|&field| is_known(field)).ok_or_else(|| {
                let known = ALL.into_iter().filter(|&field| is_known(field));
                let known: Vec<_> = known.map(Field::name).collect();
                invalid(format!("unknown argument {}, expected some of {}", Quoted(name), known.join(" ")))
            })?;
            self.set(field, value)?;
        }
        Ok(())
    }

    fn request_by_position(&mut self, message: &Message<'a>) -> Result<(), Failure> {
        let arguments = message.arguments;
        // The second argument is the source address in the long form, the method (never NULL) in the short one.
        let second = arguments.clone().nth(1).map_or(Value::Null, |argument| argument.value);
        let is_address = second.address().is_some() || second == Value::Null;
        let form: &[Field] = match arguments.len() {
            12.. if is_address => &LONG_FORM,
            8.. => &SHORT_FORM,
            few => return Err(invalid(format!("{few} arguments without names, expected 8 or 12"))),
        };
        self.by_position(message, form)?;
        // Further arguments are ignored, except for an address: some configurations append `src` to the short form.
        let source =
            arguments.skip(form.len()).find(|extra| matches!(extra.value, Value::Ipv4(_) | Value::Ipv6(_)));
        match source {
            Some(source) if form.len() == SHORT_FORM.len() => self.set(Field::SourceAddress, source.value),
            _ => Ok(()),
        }
    }

    fn by_position(&mut self, message: &Message<'a>, form: &[Field]) -> Result<(), Failure> {
        for (index, argument) in message.arguments.enumerate() {
            if !argument.name.is_empty() {
                let name = Quoted(argument.name);
                return Err(invalid(format!(
                    "argument {} has the name {name}, though others have none",
                    index + 1
                )));
            }
            if let Some(&field) = form.get(index) {
                self.set(field, argument.value)?;
            }
        }
        Ok(())
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

    /// The value of a field as `read` understands it; `None` for NULL.
    ///
    /// # Errors
    /// When `read` returns `None`; the cause names what was `expected`.
    pub(super) fn optional<T>(
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

    /// The bytes of a field.
    ///
    /// # Errors
    /// When the value is neither a string nor binary.
    pub(super) fn bytes(&self, field: Field) -> Result<Option<&'a [u8]>, Failure> {
        self.optional(field, "a string", |value| value.bytes())
    }

    /// The bytes of a field that an engine takes as a C string.
    ///
    /// # Errors
    /// When the value is neither a string nor binary, or has a zero byte.
    pub(super) fn text(&self, field: Field) -> Result<Option<&'a [u8]>, Failure> {
        let text = self.bytes(field)?;
        if text.is_some_and(|text| text.contains(&0)) {
            return Err(invalid(format!("argument {} has a zero byte", field.name())));
        }
        Ok(text)
    }

    /// An endpoint from the fields of its address and its port.
    ///
    /// # Errors
    /// When the values are no address or no port.
    pub(super) fn endpoint(&self, address: Field, port: Field) -> Result<Endpoint, Failure> {
        let address = self.optional(address, "an address", |value| value.address())?;
        let port = self.optional(port, "a port", |value| match value.bytes() {
            Some(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            None => u16::try_from(value.unsigned()?).ok(),
        })?;
        Ok(Endpoint { address: address.map(|address| address.to_canonical()), port: port.unwrap_or(0) })
    }

    fn flag(&self, field: Field) -> Result<Option<bool>, Failure> {
        self.optional(field, "a boolean", |value| match value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        })
    }

    /// How HAProxy's configuration wants the message answered.
    ///
    /// # Errors
    /// When `detect-only` or `exportRuleIDs` is not a boolean.
    pub(super) fn options(&self) -> Result<AnswerOptions, Failure> {
        Ok(AnswerOptions {
            detect_only: self.flag(Field::DetectOnly)?.unwrap_or(false),
            export_rules: self.flag(Field::ExportRules)?.unwrap_or(true),
        })
    }

    /// The ids of the rules that do not apply, separated by commas or spaces in the argument.
    ///
    /// # Errors
    /// When a part of the argument is not an id: engines keep them in 32 bits, so a larger number would name another rule.
    pub(super) fn ignored_rules(&self) -> Result<Vec<i64>, Failure> {
        let list = self.bytes(Field::IgnoredRules)?.unwrap_or_default();
        let parts = list.split(|byte| b", ".contains(byte)).filter(|part| !part.is_empty());
        let id = |part: &[u8]| {
            std::str::from_utf8(part).ok()?.parse().ok().filter(|id| (1..=MAX_RULE_ID).contains(id))
        };
        let ids = parts.map(|part| {
            id(part).ok_or_else(|| {
                invalid(format!("argument ignorerules has {}, expected ids of rules", Quoted(part)))
            })
        });
        ids.collect()
    }

    /// The list of headers, checked to its last byte.
    ///
    /// # Errors
    /// When the list cannot be read, or is NULL: HAProxy could not fetch it.
    pub(super) fn headers(&self, payload: &Bytes) -> Result<Headers, Failure> {
        let headers = match self.get(Field::Headers) {
            Value::Binary(list) => Headers::Binary(payload.slice_ref(list)),
            Value::String(list) => Headers::Text(payload.slice_ref(list)),
            // A request whose headers are missing by accident must not be called clean. A configuration that sends no
            // argument headers at all leaves them out on purpose.
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
}

/// Whether the arguments come by name: the first one has a name.
fn has_names(message: &Message<'_>) -> bool {
    message.arguments.clone().next().is_some_and(|first| !first.name.is_empty())
}
