//! The messages that HAProxy sends for inspection (requests and responses), and the answers to them.

pub mod answer;
pub mod block_page;
pub mod decode;
pub mod dialect;
pub mod headers;
pub mod id;
pub mod quoted;
pub mod request;
pub mod response;
pub mod verdict;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use bytes::Bytes;
use slog::{KV, Record, Serializer};

use crate::message::headers::Headers;
use crate::message::request::{AnswerOptions, Request};
use crate::message::response::Response;

/// A request or a response that HAProxy wants inspected.
#[derive(Clone, Debug)]
pub enum HttpMessage {
    /// A request from a client.
    Request(Request),
    /// A response from a server.
    Response(Response),
}

impl HttpMessage {
    /// The agent's identifier of the message.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Request(request) => &request.id,
            Self::Response(response) => &response.id,
        }
    }

    /// The identifier of the transaction that the message belongs to, as the log shows it.
    #[must_use]
    pub fn transaction(&self) -> String {
        match self {
            Self::Request(request) => request.id.clone(),
            Self::Response(response) => {
                response.ticket().map_or_else(|| response.id.clone(), |ticket| ticket.id)
            }
        }
    }

    /// The payload that the message was read from.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Request(request) => &request.payload,
            Self::Response(response) => &response.payload,
        }
    }

    /// The name of the application whose rules are used; `None` when HAProxy sends no name.
    #[must_use]
    pub fn application(&self) -> Option<&[u8]> {
        match self {
            Self::Request(request) => request.application.as_deref(),
            Self::Response(response) => response.application.as_deref(),
        }
    }

    /// How HAProxy's configuration wants the message answered.
    #[must_use]
    pub fn options(&self) -> AnswerOptions {
        match self {
            Self::Request(request) => request.options,
            Self::Response(response) => response.options,
        }
    }

    /// Whether HAProxy sent only the beginning of the body.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        match self {
            Self::Request(request) => request.truncated,
            Self::Response(response) => response.truncated,
        }
    }

    /// A hash of everything that an engine inspects, which leaves out the sender: application, method, URI, headers and
    /// body of a request, or application, status, headers and body of a response.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        match self {
            Self::Request(request) => {
                let Request { application, method, uri, headers, body, .. } = request;
                FINGERPRINTS.hash_one((application, method, uri, bytes(headers), body))
            }
            Self::Response(response) => {
                let Response { application, status, headers, body, .. } = response;
                FINGERPRINTS.hash_one((application, status, bytes(headers), body))
            }
        }
    }
}

/// The hasher of fingerprints. Its keys are random in each process, so that nobody can construct a message with the
/// fingerprint of another.
static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn bytes(headers: &Headers) -> &[u8] {
    match headers {
        Headers::None => &[],
        Headers::Binary(list) | Headers::Text(list) => list,
    }
}

/// The keys by which the log names a message.
impl KV for HttpMessage {
    fn serialize(&self, record: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        match self {
            Self::Request(request) => request.serialize(record, serializer),
            Self::Response(response) => response.serialize(record, serializer),
        }
    }
}
