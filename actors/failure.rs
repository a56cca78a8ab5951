//! Why a request was not inspected: in one word for HAProxy, with the cause for the log.

use std::borrow::Cow;
use std::fmt;

/// Why a request was not inspected: what HAProxy reads in `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The deadline passed before there was an answer, or an engine took more time for the request than it may.
    Timeout,
    /// The queue was full, or too long for an answer within the deadline.
    Overload,
    /// The engine died while it inspected the request, or no engine runs.
    Crash,
    /// A request like this one has crashed two engines.
    Quarantine,
    /// The engine reported an error, or its answer did not fit in a frame.
    Engine,
    /// The message could not be understood.
    Invalid,
    /// HAProxy sent only the beginning of the body, and the program does not inspect part of a body.
    Truncated,
    /// The message came in fragments that are larger together than a payload may be.
    TooLarge,
    /// The agent is stopping.
    Shutdown,
}

impl FailureKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::Overload,
        Self::Crash,
        Self::Quarantine,
        Self::Engine,
        Self::Invalid,
        Self::Truncated,
        Self::TooLarge,
        Self::Shutdown,
    ];

    /// The value of `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Overload => "overload",
            Self::Crash => "crash",
            Self::Quarantine => "quarantine",
            Self::Engine => "engine",
            Self::Invalid => "invalid",
            Self::Truncated => "truncated",
            Self::TooLarge => "too-large",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one request was not inspected: the kind for HAProxy, the cause for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What HAProxy reads in `error`.
    pub kind: FailureKind,
    /// The text for the log. Bytes that a peer sent are escaped in it.
    pub cause: Cow<'static, str>,
}

impl Failure {
    /// A failure of this kind, with this cause.
    pub fn new(kind: FailureKind, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, cause: cause.into() }
    }
}
