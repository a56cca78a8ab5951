//! What HAProxy has inspected: a request or a response.

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

/// One or the other.
#[derive(Clone, Debug)]
pub enum HttpMessage {
    /// From the client.
    Request(Request),
    /// From the server.
    Response(Response),
}

impl HttpMessage {
    /// The agent's identifier for it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Request(request) => &request.id,
            Self::Response(response) => &response.id,
        }
    }

    /// The identifier of the transaction that it belongs to, as the log has it.
    #[must_use]
    pub fn transaction(&self) -> String {
        match self {
            Self::Request(request) => request.id.clone(),
            Self::Response(response) => {
                response.ticket().map_or_else(|| response.id.clone(), |ticket| ticket.id)
            }
        }
    }

    /// The payload that it was read from.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Request(request) => &request.payload,
            Self::Response(response) => &response.payload,
        }
    }

    /// The application whose rules are to be used.
    #[must_use]
    pub fn application(&self) -> Option<&[u8]> {
        match self {
            Self::Request(request) => request.application.as_deref(),
            Self::Response(response) => response.application.as_deref(),
        }
    }

    /// What the answer is to be like.
    #[must_use]
    pub fn options(&self) -> AnswerOptions {
        match self {
            Self::Request(request) => request.options,
            Self::Response(response) => response.options,
        }
    }

    /// Whether its body is longer than what HAProxy had of it.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        match self {
            Self::Request(request) => request.truncated,
            Self::Response(response) => response.truncated,
        }
    }

    /// A hash of what an engine makes its way through, not of who sent it: method, URI, headers and body, or status,
    /// headers and body.
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

/// With keys of its own in each process, so that nobody can aim at another message's fingerprint.
static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn bytes(headers: &Headers) -> &[u8] {
    match headers {
        Headers::None => &[],
        Headers::Binary(list) | Headers::Text(list) => list,
    }
}

/// How the log names it.
impl KV for HttpMessage {
    fn serialize(&self, record: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        match self {
            Self::Request(request) => request.serialize(record, serializer),
            Self::Response(response) => response.serialize(record, serializer),
        }
    }
}
