//! A response as an engine of either version inspects it.

use bytes::Bytes;
use slog::{KV, Record, Serializer};

use crate::message::headers::Headers;
use crate::message::id::Ticket;
use crate::message::quoted::Quoted;
use crate::message::request::AnswerOptions;

/// An HTTP response as the server sent it. The version holds no zero byte: engines take it as a C string.
#[derive(Clone, Debug)]
pub struct Response {
    /// The agent's identifier of the response, used when the transaction is gone.
    pub id: String,
    /// The ticket of the transaction, which HAProxy got with the request's verdict. It is any other text when HAProxy's
    /// configuration is wrong.
    pub transaction: Option<Bytes>,
    /// The HTTP status.
    pub status: u16,
    /// The version without `HTTP/`.
    pub version: Bytes,
    /// All headers.
    pub headers: Headers,
    /// The body, or the beginning of the body that HAProxy had in its buffer.
    pub body: Bytes,
    /// The server's body is longer than `body`.
    pub truncated: bool,
    /// The name of the application whose rules are used, when HAProxy sends one.
    pub application: Option<Bytes>,
    /// How HAProxy's configuration wants the response answered.
    pub options: AnswerOptions,
    /// The payload that the response was read from.
    pub payload: Bytes,
}

impl Response {
    /// The ticket that leads to the parked transaction; `None` when HAProxy sent no ticket.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        Ticket::parse(self.transaction.as_deref()?)
    }
}

/// The keys by which the log names a response.
impl KV for Response {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // The last key comes first: slog serializes pairs in reverse order.
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
