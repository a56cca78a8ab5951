//! From an outcome to the variables that HAProxy's rules read (the table in deploy/guide/haproxy.md).
//!
//! A response's verdict comes in the same variables as that of its request, which are still set then: what the one sets
//! and the other does not is removed.

use actors::Failure;
use actors::spop::{ActionList, Scope, Value};

use crate::message::HttpMessage;
use crate::message::block_page::BlockPage;
use crate::message::dialect::{Convention, Dialect, number};
use crate::message::verdict::{Action, Intervention, Verdict};

/// The operator's choices for answers.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The agent's name in its answers to requests (`--name`).
    pub name: String,
    /// The answer when nobody inspected the message.
    pub on_error: OnError,
    /// The page in place of a denied message; `None` without `--block-page`.
    pub block_page: Option<BlockPage>,
}

/// What `code` says when nobody inspected the request (`--on-error`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// `code` stays unset, and a rule of HAProxy's configuration decides.
    #[default]
    Unset,
    /// `code` denies the request with this status.
    Deny(u16),
}

/// The variables that a verdict on a request may have set, apart from `code` and `action`.
const OF_A_VERDICT: [&str; 8] =
    ["status", "ruleid", "data", "body", "rules_hit", "anomaly_score", "rule_ids", "msg"];

/// The variables for a message, if it was understood, and its outcome. What decides comes first: HAProxy stops at
/// an action that it cannot read.
#[must_use]
pub fn answer(
    dialect: Dialect,
    message: Option<&HttpMessage>,
    outcome: Result<&Verdict, &Failure>,
    policy: &Policy,
) -> ActionList {
    let mut actions = ActionList::new();
    let is_coraza = dialect.convention == Convention::Coraza;
    let detect_only = message.is_some_and(|message| message.options().detect_only);
    if !dialect.is_request {
        for name in ["code", "action", "error", "fail"] {
            actions.unset_var(Scope::Transaction, name);
        }
        for name in OF_A_VERDICT {
            actions.unset_var(Scope::Transaction, name);
        }
    }
    let mut set = |name, value| actions.set_var(Scope::Transaction, name, value);
    match outcome {
        Ok(verdict) => match verdict.intervention.as_ref().filter(|_| !detect_only) {
            None => {
                set("code", Value::Int32(0));
                set("action", Value::String(b"allow"));
                if is_coraza {
                    set("fail", Value::Int32(0));
                }
            }
            Some(intervention) => {
                let status = Value::Int32(intervention.status.into());
                set("code", status);
                set("status", status);
                set("action", Value::String(intervention.action.name().as_bytes()));
                if let Action::Redirect(location) = &intervention.action {
                    set("data", Value::String(location));
                }
                if is_coraza {
                    set("fail", Value::Int32(1));
                    set("ruleid", Value::Int64(verdict.deciding.unwrap_or_default()));
                }
            }
        },
        Err(failure) => {
            if let OnError::Deny(status) = policy.on_error {
                let status = Value::Int32(status.into());
                set("code", status);
                set("status", status);
                set("action", Value::String(b"deny"));
                if is_coraza {
                    set("fail", Value::Int32(1));
                }
            }
            match dialect.convention {
                Convention::ModSecurity => set("error", Value::String(failure.kind.as_str().as_bytes())),
                Convention::Coraza => set("error", Value::Int32(number(failure.kind))),
            }
        }
    }
    let ticket = outcome.ok().and_then(|verdict| verdict.ticket.as_ref()).map(ToString::to_string);
    match message {
        Some(HttpMessage::Request(request)) => {
            set("id", Value::String(ticket.as_deref().unwrap_or(&request.id).as_bytes()));
            set("truncated", Value::Bool(request.truncated));
        }
        Some(HttpMessage::Response(response)) => {
            set("truncated", Value::Bool(response.truncated));
            set("lost", Value::Bool(outcome.is_ok_and(|verdict| verdict.has_no_request)));
        }
        None => {}
    }
    actions.end_essential();
    if matches!(message, Some(HttpMessage::Request(_))) {
        actions.set_var(Scope::Transaction, "agent", Value::String(policy.name.as_bytes()));
    }
    if let Ok(verdict) = outcome {
        let denied = verdict.intervention.as_ref().filter(|_| !detect_only);
        let page = policy.block_page.as_ref().zip(denied).zip(message);
        if let Some(((page, Intervention { status, action: Action::Deny }), message)) = page {
            let body = page.fill(&message.transaction(), *status);
            actions.set_var(Scope::Transaction, "body", Value::String(body.as_bytes()));
        }
        if let Some(body) = verdict.rewritten.as_ref().filter(|_| denied.is_none() && !detect_only) {
            actions.set_var(Scope::Transaction, "body", Value::String(body));
        }
        describe(verdict, message.is_some_and(|message| message.options().export_rules), &mut actions);
    }
    actions
}

/// Adds what the engine found, for the log and the rules of HAProxy.
fn describe(verdict: &Verdict, with_rules: bool, actions: &mut ActionList) {
    let mut set = |name, value: Value<'_>| actions.set_var(Scope::Transaction, name, value);
    set("rules_hit", Value::Int32(i32::try_from(verdict.rules.len()).unwrap_or(i32::MAX)));
    if let Some(score) = verdict.anomaly_score {
        set("anomaly_score", Value::Int64(score));
    }
    if with_rules && !verdict.rules.is_empty() {
        let rules = verdict.rule_ids();
        set("rule_ids", Value::String(rules.as_bytes()));
    }
    if !verdict.message.is_empty() {
        // HAProxy logs the variable unescaped, and the message of a rule may quote the request.
        let message: Vec<u8> = verdict.message.iter().map(|&byte| printable(byte)).collect();
        set("msg", Value::String(&message));
    }
}

fn printable(byte: u8) -> u8 {
    if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'?' }
}
