//! DISCONNECT: why a link is about to be closed (doc/SPOE.txt, sections 3.2.8, 3.2.9 and 3.5).

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::spop::frame::{self, FrameId, FrameType};
use crate::spop::reader::{Malformed, Reader};
use crate::spop::value::{Value, encode_bytes};

/// The status codes of SPOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Nothing is wrong.
    Normal = 0,
    /// Reading or writing failed.
    Io = 1,
    /// The peer took too long.
    Timeout = 2,
    /// A frame above the limit.
    TooBig = 3,
    /// A frame that cannot be understood, or that is not allowed now.
    Invalid = 4,
    /// No supported-versions in the hello.
    NoVersion = 5,
    /// No max-frame-size in the hello.
    NoFrameSize = 6,
    /// No capabilities in the hello.
    NoCapabilities = 7,
    /// None of the supported-versions is one that the other side speaks.
    UnsupportedVersion = 8,
    /// A max-frame-size outside the allowed range.
    BadFrameSize = 9,
    /// A fragment, though fragmentation was not announced.
    NoFragmentation = 10,
    /// Fragments of two payloads mixed.
    Interlaced = 11,
    /// An ACK for a frame that was never sent.
    FrameIdNotFound = 12,
    /// Out of memory or of another resource.
    Resources = 13,
    /// Anything else.
    Unknown = 99,
}

impl Status {
    /// What the code says, as sent to the peer beside it.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Io => "I/O error",
            Self::Timeout => "a timeout occurred",
            Self::TooBig => "frame is too big",
            Self::Invalid => "invalid frame received",
            Self::NoVersion => "version value not found",
            Self::NoFrameSize => "max-frame-size value not found",
            Self::NoCapabilities => "capabilities value not found",
            Self::UnsupportedVersion => "unsupported version",
            Self::BadFrameSize => "max-frame-size too big or too small",
            Self::NoFragmentation => "payload fragmentation is not supported",
            Self::Interlaced => "invalid interlaced frames",
            Self::FrameIdNotFound => "frame-id not found",
            Self::Resources => "resource allocation error",
            Self::Unknown => "an unknown error occurred",
        }
    }
}

/// The agent's reason to close a link, and what to log of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    status: Status,
    detail: String,
}

impl Disconnect {
    /// `detail` is for the agent's own log; the peer gets the status and its standard message.
    #[must_use]
    pub fn new(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// The code.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Appends the AGENT-DISCONNECT frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut payload = BytesMut::with_capacity(96);
        encode_bytes(b"status-code", &mut payload);
        Value::Uint32(self.status as u32).encode(&mut payload);
        encode_bytes(b"message", &mut payload);
        Value::String(self.status.message().as_bytes()).encode(&mut payload);
        frame::encode(FrameType::AgentDisconnect, FrameId::default(), &payload, out);
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.status.message(), self.status as u32, self.detail)
    }
}

impl std::error::Error for Disconnect {}

/// What HAProxy says in its DISCONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDisconnect {
    /// The code; 0 is a normal close.
    pub status: u64,
    /// The text beside it, sharing the payload.
    pub message: Bytes,
}

impl PeerDisconnect {
    /// Reads the payload of a HAPROXY-DISCONNECT; what is missing counts as status 0 and no message.
    pub fn decode(payload: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let mut found = Self { status: 0, message: Bytes::new() };
        while !reader.is_empty() {
            let name = reader.bytes("the name of an item")?;
            let value = reader.value("the value of an item")?;
            match name {
                b"status-code" => {
                    found.status = value.unsigned().ok_or(Malformed::WrongType("status-code"))?;
                }
                b"message" => {
                    let text = value.bytes().ok_or(Malformed::WrongType("message"))?;
                    found.message = payload.slice_ref(text);
                }
                _ => {}
            }
        }
        Ok(found)
    }
}
