//! From the messages `check-request` and `check-response` to what an engine inspects.
//!
//! Arguments come by name in any order, or, when none has a name, by position in one of the forms that are in the wild:
//! that of the C daemon (8 arguments) and that of its libmodsecurity fork (12). Whatever could make a rule see less
//! than the client sent (an argument twice, a misspelt name, a header list that is cut) is an error, never a guess.

mod fields;
mod request;
mod response;

use std::borrow::Cow;

use actors::spop::reader::Reader;
use actors::spop::{Message, Messages};
use actors::{Failure, FailureKind};
use bytes::Bytes;

use crate::message::HttpMessage;
use crate::message::dialect::{Convention, Dialect};
use crate::message::quoted::Quoted;
use fields::{Field, Fields};

/// The name of Coraza's message with a request.
const CORAZA_REQUEST: &[u8] = b"coraza-req";

/// The name of Coraza's message with a response.
const CORAZA_RESPONSE: &[u8] = b"coraza-res";

/// The names of the message with a request; the last is that of an agent in Go and C++.
const REQUEST: [&[u8]; 3] = [b"check-request", CORAZA_REQUEST, b"modsecurity"];

/// The names of the message with a response.
const RESPONSE: [&[u8]; 2] = [b"check-response", CORAZA_RESPONSE];

/// A unique-id of HAProxy's longer than this is not passed on; its own default format has about 40 bytes.
const MAX_UNIQUE_ID: usize = 256;

fn invalid(cause: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(FailureKind::Invalid, cause)
}

/// Makes a request or a response of the payload of a NOTIFY; `id` becomes the transaction's.
pub fn decode(payload: &Bytes, id: String) -> Result<HttpMessage, Failure> {
    let message = find_message(payload)?;
    if RESPONSE.contains(&message.name) {
        let fields = Fields::of_response(&message)?;
        return response::response(&fields, payload, id, speaker(message.name)).map(HttpMessage::Response);
    }
    let fields = Fields::of_request(&message)?;
    request::request(&fields, payload, id, speaker(message.name)).map(HttpMessage::Request)
}

/// How the message in a payload is to be answered, whether it can be understood or not.
#[must_use]
pub fn dialect(payload: &[u8]) -> Dialect {
    // One that ends too early still says its name first.
    let first = || Reader::new(payload).bytes("a name").unwrap_or_default();
    speaker(find_message(payload).map_or_else(|_| first(), |message| message.name))
}

fn speaker(name: &[u8]) -> Dialect {
    let convention = match name {
        CORAZA_REQUEST | CORAZA_RESPONSE => Convention::Coraza,
        _ => Convention::ModSecurity,
    };
    Dialect { convention, is_request: REQUEST.contains(&name) }
}

/// The one message of ours. Others in the same NOTIFY are for other purposes.
fn find_message(payload: &[u8]) -> Result<Message<'_>, Failure> {
    let mut found = None;
    for message in Messages::new(payload) {
        let message = message.map_err(|cause| invalid(cause.to_string()))?;
        let ours = REQUEST.contains(&message.name) || RESPONSE.contains(&message.name);
        if ours && found.replace(message).is_some() {
            return Err(invalid("two messages for the agent in one notify"));
        }
    }
    found.ok_or_else(|| {
        let first =
            Messages::new(payload).next().and_then(Result::ok).map_or(&b""[..], |message| message.name);
        invalid(format!("message {}, expected check-request or check-response", Quoted(first)))
    })
}

/// The identifier that HAProxy sends, if it is one that can be logged.
fn share_id(fields: &Fields<'_>, payload: &Bytes) -> Result<Option<Bytes>, Failure> {
    let printable =
        |id: &&[u8]| (1..=MAX_UNIQUE_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
    Ok(fields.bytes(Field::UniqueId)?.filter(printable).map(|id| payload.slice_ref(id)))
}

#[cfg(test)]
mod tests;
