//! From the messages `check-request` and `check-response` to what an engine inspects.
//!
//! Arguments come by name in any order, or, when none has a name, by position in one of the forms that are in the wild:
//! that of the C daemon (8 arguments) and that of its libmodsecurity fork (12). A message that could make a rule see less
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

/// The longest unique-id, in bytes, that is passed on; HAProxy's default format has about 40.
const MAX_UNIQUE_ID: usize = 256;

fn invalid(cause: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(FailureKind::Invalid, cause)
}

/// Reads the payload of a NOTIFY: how it is to be answered, and the request or the response in it; `id` becomes the
/// transaction's.
pub fn read(payload: &Bytes, id: String) -> (Dialect, Result<HttpMessage, Failure>) {
    match find_message(payload) {
        Ok(message) => (speaker(message.name), understand(&message, payload, id)),
        Err(failure) => (speaker(first_name(payload)), Err(failure)),
    }
}

/// Makes a request or a response of the payload of a NOTIFY; `id` becomes the transaction's.
///
/// # Errors
/// [`FailureKind::Invalid`] when the payload has no message for the agent, two of them, or one that the rules would see
/// less of than the client sent.
pub fn decode(payload: &Bytes, id: String) -> Result<HttpMessage, Failure> {
    read(payload, id).1
}

/// How a payload is to be answered of which `start` is all that has come.
#[must_use]
pub fn dialect(start: &[u8]) -> Dialect {
    speaker(find_message(start).map_or_else(|_| first_name(start), |message| message.name))
}

fn understand(message: &Message<'_>, payload: &Bytes, id: String) -> Result<HttpMessage, Failure> {
    if RESPONSE.contains(&message.name) {
        let fields = Fields::of_response(message)?;
        return response::response(&fields, payload, id).map(HttpMessage::Response);
    }
    let fields = Fields::of_request(message)?;
    request::request(&fields, payload, id).map(HttpMessage::Request)
}

/// A payload that ends too early still has the name of its first message.
fn first_name(payload: &[u8]) -> &[u8] {
    Reader::new(payload).bytes("a name").unwrap_or_default()
}

fn speaker(name: &[u8]) -> Dialect {
    let convention = match name {
        CORAZA_REQUEST | CORAZA_RESPONSE => Convention::Coraza,
        _ => Convention::ModSecurity,
    };
    Dialect { convention, is_request: REQUEST.contains(&name) }
}

/// Finds the one message for this agent. A NOTIFY may carry other messages for other purposes.
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
        let first = Quoted(first_name(payload));
        invalid(format!("message {first}, expected check-request or check-response"))
    })
}

/// The identifier that HAProxy sends, if it is printable and short enough to be logged.
fn share_id(fields: &Fields<'_>, payload: &Bytes) -> Result<Option<Bytes>, Failure> {
    let printable =
        |id: &&[u8]| (1..=MAX_UNIQUE_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
    Ok(fields.bytes(Field::UniqueId)?.filter(printable).map(|id| payload.slice_ref(id)))
}

#[cfg(test)]
mod tests;
