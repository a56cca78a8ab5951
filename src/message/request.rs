//! A request as an engine of either version inspects it.

use std::net::IpAddr;

use bytes::Bytes;
use slog::{KV, Record, Serializer};

use crate::message::headers::Headers;
use crate::message::quoted::Quoted;

/// An HTTP request as the client sent it. Method, URI and version hold no zero byte: engines take them as C strings.
#[derive(Clone, Debug)]
pub struct Request {
    /// The agent's identifier of the transaction.
    pub id: String,
    /// HAProxy's identifier of the request (`unique-id`), when HAProxy sends one.
    pub unique_id: Option<Bytes>,
    /// The client's end of the connection.
    pub client: Endpoint,
    /// The end that the client connected to.
    pub server: Endpoint,
    /// The method, which need not be one of the standard's.
    pub method: Bytes,
    /// Path and query in the client's own encoding, with a `?` only if the client sent one.
    pub uri: Bytes,
    /// The version without `HTTP/`: `1.1`, `2.0`.
    pub version: Bytes,
    /// All headers.
    pub headers: Headers,
    /// The body, or the beginning of the body that HAProxy had in its buffer.
    pub body: Bytes,
    /// The client's body is longer than `body`.
    pub truncated: bool,
    /// Bytes of the client's body, as HAProxy announces them.
    pub announced: u64,
    /// The name of the application whose rules are used, when HAProxy sends one.
    pub application: Option<Bytes>,
    /// How HAProxy's configuration wants the request answered.
    pub options: AnswerOptions,
    /// The ids of rules that do not apply to this request.
    pub ignored_rules: Vec<i64>,
    /// The payload that the request was read from.
    pub payload: Bytes,
}

/// How HAProxy's configuration wants one message answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerOptions {
    /// The message is never denied; the answer only reports what matched.
    pub detect_only: bool,
    /// The answer lists the ids of the rules that matched.
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

/// The keys by which the log names a request.
impl KV for Request {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // The last key comes first: slog serializes pairs in reverse order.
        serializer.emit_arguments("uri", &format_args!("{}", Quoted(&self.uri)))?;
        if let Some(host) = self.headers.first("host") {
            serializer.emit_arguments("host", &format_args!("{}", Quoted(host)))?;
        }
        if let Some(application) = &self.application {
            serializer.emit_arguments("app", &format_args!("{}", Quoted(application)))?;
        }
        serializer.emit_arguments("method", &format_args!("{}", Quoted(&self.method)))?;
        serializer.emit_arguments("client", &format_args!("{}", self.client))?;
        if let Some(id) = &self.unique_id {
            serializer.emit_arguments("unique_id", &format_args!("{}", Quoted(id)))?;
        }
        serializer.emit_str("id", &self.id)
    }
}
