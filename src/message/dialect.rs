//! Whose HAProxy configuration a message comes from, and so which variables its answer is read from.

use actors::FailureKind;

/// How a message is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// As which agent.
    pub convention: Convention,
    /// It is about a request: nothing is set yet. A message that was not understood may be about a response.
    pub is_request: bool,
}

/// The agent that a configuration was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// This one, or one of the ModSecurity agents before: `code`, and a word in `error`.
    ModSecurity,
    /// Coraza's: `action`, `fail` in early versions, and a number in `error`.
    Coraza,
}

/// What Coraza's configurations compare with 0 in `error`. The numbers are HAProxy's own for such events (SPOE.txt,
/// "set-on-error"), which the same rule reads.
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
