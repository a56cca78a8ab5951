//! What a response is to an engine.

use bytes::Bytes;
use slog::{KV, Record, Serializer};

use crate::engine::headers::Headers;
use crate::engine::id::parse_ticket;
use crate::engine::text::Text;

/// An HTTP response as the server sent it. The version holds no zero byte: engines take it as a C string.
#[derive(Clone, Debug)]
pub struct Response {
    /// The agent's identifier for it, should its transaction be gone.
    pub id: String,
    /// The identifier of its transaction, as HAProxy got it with the request's verdict; anything, if HAProxy is not
    /// configured well.
    pub transaction: Option<Bytes>,
    /// The status.
    pub status: u16,
    /// The version without `HTTP/`.
    pub version: Bytes,
    /// Every header.
    pub headers: Headers,
    /// What HAProxy had of the body.
    pub body: Bytes,
    /// The body is longer than that.
    pub truncated: bool,
    /// The payload that all of this was read from.
    pub payload: Bytes,
}

impl Response {
    /// The number of the worker whose engine has the transaction, if an engine has kept it.
    #[must_use]
    pub fn worker(&self) -> Option<usize> {
        parse_ticket(self.transaction.as_deref()?).map(|(_, worker)| worker)
    }
}

/// How the log names a response.
impl KV for Response {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // Last first: that is the order of slog's pairs.
        serializer.emit_u16("response", self.status)?;
        match &self.transaction {
            Some(transaction) => match parse_ticket(transaction) {
                Some((id, _)) => serializer.emit_str("id", id),
                None => serializer.emit_arguments("id", &format_args!("{}", Text(transaction))),
            },
            None => serializer.emit_str("id", &self.id),
        }
    }
}
