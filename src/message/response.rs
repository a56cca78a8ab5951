//! What a response is to an engine.

use bytes::Bytes;
use slog::{KV, Record, Serializer};

use crate::message::headers::Headers;
use crate::message::id::Ticket;
use crate::message::quoted::Quoted;
use crate::message::request::AnswerOptions;

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
    /// The application whose rules are to be used.
    pub application: Option<Bytes>,
    /// How it is answered.
    pub options: AnswerOptions,
    /// The payload that all of this was read from.
    pub payload: Bytes,
}

impl Response {
    /// Where the transaction is, if an engine has kept it.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        Ticket::parse(self.transaction.as_deref()?)
    }
}

/// How the log names a response.
impl KV for Response {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // Last first: that is the order of slog's pairs.
        serializer.emit_u16("response", self.status)?;
        match &self.transaction {
            Some(transaction) => match Ticket::parse(transaction) {
                Some(ticket) => serializer.emit_str("id", &ticket.id),
                None => serializer.emit_arguments("id", &format_args!("{}", Quoted(transaction))),
            },
            None => serializer.emit_str("id", &self.id),
        }
    }
}
