//! Status codes: why a link is closed (doc/SPOE.txt, section 3.5).

use std::error::Error;
use std::fmt;

use crate::spop::reader::Malformed;

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
    /// The standard message of the code, which the peer gets with it.
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

/// Why the agent closes a link: the peer did what SPOP does not allow, or did not do in time what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    status: Status,
    detail: String,
    cause: Option<Malformed>,
}

impl ProtocolError {
    /// `detail` is for the agent's own log; the peer gets the status and its standard message.
    #[must_use]
    pub fn new(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), cause: None }
    }

    /// For a payload that cannot be read.
    pub(super) fn malformed(detail: String, cause: Malformed) -> Self {
        Self { status: Status::Invalid, detail, cause: Some(cause) }
    }

    /// The code that the peer gets.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.status.message(), self.status as u32, self.detail)
    }
}

impl Error for ProtocolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
