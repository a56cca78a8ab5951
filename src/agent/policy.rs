//! Messages that are decided without an engine: those of unknown applications, and requests whose body was cut.

use std::collections::HashSet;
use std::sync::Arc;

use actors::{EngineError, Failure, FailureKind};

use crate::message::HttpMessage;
use crate::message::verdict::Verdict;
use crate::rules::sources::RuleSources;

/// The names of the applications that have rules of their own (`--app`, `--apps`); a reload may change them.
#[derive(Clone, Debug, Default)]
pub struct Applications(Arc<HashSet<Vec<u8>>>);

/// What becomes of a request that names an application without rules of its own (`--unknown-app`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownApplication {
    /// The default rules inspect it.
    #[default]
    Default,
    /// No engine inspects it, and the answer is an error.
    Error,
}

/// What becomes of a request of which HAProxy had only the beginning of the body (`--truncated`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncated {
    /// The part that came is inspected.
    #[default]
    Inspect,
    /// The request is denied with 413.
    Deny,
    /// No engine inspects it, and the answer is an error.
    Error,
}

/// The status for a body that cannot be inspected to its end (RFC 9110, 15.5.14).
const CONTENT_TOO_LARGE: u16 = 413;

impl Applications {
    /// The applications of these rules.
    #[must_use]
    pub fn of(rules: &RuleSources) -> Self {
        Self(Arc::new(rules.applications.iter().map(|(name, _)| name.clone().into_bytes()).collect()))
    }

    /// Their names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `name` is that of an application, or the message names none.
    #[must_use]
    pub fn knows(&self, name: Option<&[u8]>) -> bool {
        name.is_none_or(|name| self.0.contains(name))
    }
}

/// The outcome of a message that no engine inspects; `None` when an engine is to inspect it.
pub(super) fn decide(
    message: &HttpMessage,
    applications: &Applications,
    unknown: UnknownApplication,
    truncated: Truncated,
) -> Option<Result<Verdict, EngineError>> {
    if unknown == UnknownApplication::Error && !applications.knows(message.application()) {
        let failure = Failure::new(FailureKind::Invalid, "unknown application");
        return Some(Err(EngineError::Refused(failure)));
    }
    let HttpMessage::Request(request) = message else { return None };
    if !request.truncated {
        return None;
    }
    let cause = "HAProxy sent only the beginning of the body";
    match truncated {
        Truncated::Inspect => None,
        Truncated::Deny => Some(Ok(Verdict::denied(CONTENT_TOO_LARGE, cause))),
        Truncated::Error => Some(Err(EngineError::Refused(Failure::new(FailureKind::Truncated, cause)))),
    }
}
