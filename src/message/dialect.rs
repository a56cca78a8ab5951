//! The agent that HAProxy's configuration was written for, which decides the variables that the answer is read from.

use actors::FailureKind;

/// How a message is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The agent in whose variables the answer is written.
    pub convention: Convention,
    /// The message is about a request, so no earlier verdict has set the variables. `false` also for a message that was
    /// not understood, since that may be about a response.
    pub is_request: bool,
}

/// The agent that a configuration was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// This agent, or one of the ModSecurity agents before it: `code`, and a word in `error`.
    ModSecurity,
    /// Coraza's agent: `action`, `fail` in early versions, and a number in `error`.
    Coraza,
}

/// The number for `error` in Coraza's convention, whose configurations compare it with 0. HAProxy itself sets the same
/// numbers for such events (SPOE.txt, "set-on-error"), and one rule reads both.
#[must_use]
pub(super) fn number(failure: FailureKind) -> i32 {
    match failure {
        FailureKind::Timeout => 1,
        FailureKind::Overload => 2,
        FailureKind::TooLarge => 3,
        FailureKind::Crash
        | FailureKind::Quarantine
        | FailureKind::Engine
        | FailureKind::Invalid
        | FailureKind::Truncated
        | FailureKind::Shutdown => 255,
    }
}
