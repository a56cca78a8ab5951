//! Why a request was not inspected: in one word for HAProxy, with the cause for the log.

use std::borrow::Cow;
use std::fmt;

/// Why nobody inspected a request: what HAProxy reads in `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It could not be answered within its deadline, or took an engine more time than allowed.
    Timeout,
    /// More came than can be inspected: there was no room for it in the queue, or too much in front of it.
    Overload,
    /// The engine died of it, or while it was at it.
    Crash,
    /// It has crashed engines before.
    Quarantine,
    /// The engine reported an error.
    Engine,
    /// The message could not be understood.
    Invalid,
    /// Only a part of it came, and a part is not to be inspected.
    Truncated,
    /// It came in fragments that are more than the largest payload.
    TooLarge,
    /// The agent is going down.
    Shutdown,
}

impl FailureKind {
    /// All of them, in the order of their discriminants.
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

/// Why nobody inspected one request, with what the log should say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for HAProxy.
    pub kind: FailureKind,
    /// The cause, for the log. It holds no unescaped bytes of a peer's.
    pub cause: Cow<'static, str>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, cause: cause.into() }
    }
}
