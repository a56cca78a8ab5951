//! From an outcome to the variables that HAProxy's rules read (the table in README.md).

use actors::Failure;
use actors::spop::{ActionList, Scope, Value};

use crate::engine::request::Request;
use crate::engine::verdict::{Action, Verdict};

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
                set("action", Value::String(intervention.action.name().as_bytes()));
                if let Action::Redirect(location) = &intervention.action {
                    set("data", Value::String(location));
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
    actions.end_essential();
    if let Ok(verdict) = outcome {
        describe(verdict, &mut actions);
    }
    actions
}

/// What the engine found, for logs and for rules of HAProxy's own.
fn describe(verdict: &Verdict, actions: &mut ActionList) {
    let mut set = |name, value: Value<'_>| actions.set_var(Scope::Transaction, name, value);
    set("rules_hit", Value::Int32(i32::try_from(verdict.rules.len()).unwrap_or(i32::MAX)));
    if let Some(score) = verdict.anomaly_score {
        set("anomaly_score", Value::Int64(score));
    }
    if !verdict.rules.is_empty() {
        let rules = verdict.rule_ids();
        set("rule_ids", Value::String(rules.as_bytes()));
    }
    if !verdict.message.is_empty() {
        // HAProxy writes it into its log as it is, and a rule may quote the request in it.
        let message: Vec<u8> = verdict.message.iter().map(|&byte| printable(byte)).collect();
        set("msg", Value::String(&message));
    }
}

fn printable(byte: u8) -> u8 {
    if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'?' }
}
