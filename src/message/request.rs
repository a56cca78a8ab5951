//! What a request is to an engine, whatever engine.

use std::net::IpAddr;

use bytes::Bytes;
use slog::{KV, Record, Serializer};

use crate::message::dialect::Dialect;
use crate::message::headers::Headers;
use crate::message::quoted::Quoted;

/// An HTTP request as the client sent it. Method, URI and version hold no zero byte: engines take them as C strings.
#[derive(Clone, Debug)]
pub struct Request {
    /// The agent's identifier of the transaction.
    pub id: String,
    /// HAProxy's (`unique-id`), when it sends one.
    pub unique_id: Option<Bytes>,
    /// The client's end of the connection.
    pub client: Endpoint,
    /// The end that it connected to.
    pub server: Endpoint,
    /// The method, whatever it is.
    pub method: Bytes,
    /// Path and query, in the client's own encoding. With a `?` only if the client sent one.
    pub uri: Bytes,
    /// The version without `HTTP/`: `1.1`, `2.0`.
    pub version: Bytes,
    /// Every header, whatever its bytes.
    pub headers: Headers,
    /// What HAProxy had of the body.
    pub body: Bytes,
    /// The body is longer than that.
    pub truncated: bool,
    /// The application whose rules are to be used.
    pub application: Option<Bytes>,
    /// How it is answered.
    pub options: AnswerOptions,
    /// Rules that do not apply to it.
    pub ignored_rules: Vec<i64>,
    /// The payload that all of this was read from.
    pub payload: Bytes,
}

/// What HAProxy's configuration wants of the answer to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Where the answer is read.
    pub dialect: Dialect,
    /// Nothing is denied, only told.
    pub detect_only: bool,
    /// The ids of the rules are wanted.
    pub export_rules: bool,
}

/// An address and a port, as far as HAProxy knows them: a client on a Unix socket has neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The address; an IPv4 address that came mapped into IPv6 is IPv4 here, so that address rules match it.
    pub address: Option<IpAddr>,
    /// The port, 0 when unknown.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            None => f.write_str("unknown"),
        }
    }
}

/// How the log names a request.
impl KV for Request {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // Last first: that is the order of slog's pairs.
        serializer.emit_arguments("uri", &format_args!("{}", Quoted(&self.uri)))?;
        serializer.emit_arguments("method", &format_args!("{}", Quoted(&self.method)))?;
        serializer.emit_arguments("client", &format_args!("{}", self.client))?;
        if let Some(id) = &self.unique_id {
            serializer.emit_arguments("unique_id", &format_args!("{}", Quoted(id)))?;
        }
        serializer.emit_str("id", &self.id)
    }
}
