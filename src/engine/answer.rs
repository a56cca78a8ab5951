//! From an outcome to the variables that HAProxy's rules read (the table in README.md).

use actors::Failure;
use actors::spop::{ActionList, Scope, Value};

use crate::engine::request::Request;
use crate::engine::verdict::Verdict;

/// What `code` says when nobody inspected the request (`--on-error`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Nothing: it stays unset, and HAProxy's own rule decides.
    #[default]
    Unset,
    /// To deny the request with this status.
    Deny(u16),
}

/// The variables for a request (as far as it was understood) and its outcome. What decides comes first: HAProxy stops at
/// an action that it cannot read.
#[must_use]
pub fn answer(
    request: Option<&Request>,
    outcome: Result<&Verdict, &Failure>,
    on_error: OnError,
) -> ActionList {
    let mut actions = ActionList::new();
    let mut set = |name, value| actions.set_var(Scope::Transaction, name, value);
    match outcome {
        Ok(verdict) => match &verdict.intervention {
            None => {
                set("code", Value::Int32(0));
                set("action", Value::String(b"allow"));
            }
            Some(intervention) => {
                let status = Value::Int32(intervention.status.into());
                set("code", status);
                set("status", status);
                match &intervention.location {
                    Some(location) => {
                        set("action", Value::String(b"redirect"));
                        set("data", Value::String(location));
                    }
                    None => set("action", Value::String(b"deny")),
                }
            }
        },
        Err(failure) => {
            if let OnError::Deny(status) = on_error {
                let status = Value::Int32(status.into());
                set("code", status);
                set("status", status);
                set("action", Value::String(b"deny"));
            }
            set("error", Value::String(failure.kind.as_str().as_bytes()));
        }
    }
    if let Some(request) = request {
        set("id", Value::String(request.id.as_bytes()));
        set("truncated", Value::Bool(request.truncated));
    }
    actions
}
