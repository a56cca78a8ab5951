//! What the operator wants done with messages that no engine is asked about.

use std::collections::HashSet;

use actors::{EngineError, Failure, FailureKind};

use crate::message::HttpMessage;
use crate::message::verdict::Verdict;

/// Which applications there are.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    /// Their names.
    pub known: HashSet<Vec<u8>>,
    /// What becomes of requests that name another.
    pub unknown: UnknownApplication,
}

/// What becomes of a request that names an application nobody has configured (`--unknown-app`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownApplication {
    /// The default rules inspect it.
    #[default]
    Default,
    /// Nobody inspects it.
    Error,
}

/// What becomes of a request of which HAProxy had only the beginning of the body (`--truncated`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncated {
    /// What there is of it is inspected.
    #[default]
    Inspect,
    /// It is denied.
    Deny,
    /// Nobody inspects it.
    Error,
}

/// The status for a body that cannot be inspected to its end (RFC 9110, 15.5.14).
const CONTENT_TOO_LARGE: u16 = 413;

impl Applications {
    /// Whether this is the name of an application, or none is named.
    #[must_use]
    pub fn knows(&self, name: Option<&[u8]>) -> bool {
        name.is_none_or(|name| self.known.contains(name))
    }
}

/// What is to be said of a message without asking an engine; `None` when an engine is to inspect it.
pub(super) fn decide(
    message: &HttpMessage,
    applications: &Applications,
    truncated: Truncated,
) -> Option<Result<Verdict, EngineError>> {
    if !applications.knows(message.application()) && applications.unknown == UnknownApplication::Error {
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
