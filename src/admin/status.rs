//! `/status`: the supervision tree, the rules, and what is wrong, as JSON.

use std::time::SystemTime;

use actors::stats::EndCause;
use actors::{Crash, FailureKind};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::history::Totals;
use super::http::Answer;
use super::state::{AdminState, Running};
use crate::agent::counters::Denial;

/// The status.
pub(super) fn answer(state: &AdminState) -> Answer {
    Answer::new(StatusCode::OK, "application/json", format!("{:#}\n", status(state)))
}

fn status(state: &AdminState) -> Value {
    let rules = state.rules_in_use();
    let readiness = state.readiness();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "engine": state.engine,
        "started": unix(state.started),
        "live": state.is_live(),
        "ready": readiness.is_ok(),
        "not_ready_because": readiness.err(),
        "rules": {
            "count": rules.count,
            "loaded": rules.loaded.map(unix),
            "reloads": state.reloads.get(),
            "failed_reloads": state.failed_reloads.get(),
            "last_reload_ms": rules.reload_time.map(|time| time.as_secs_f64() * 1e3),
            "last_failure": rules.failure.map(|(at, cause)| json!({ "at": unix(at), "cause": cause })),
        },
        "messages": Totals::now(state).map(|totals| json!({
            "allowed": totals.allowed, "denied": totals.denied, "not_inspected": totals.failed,
        })),
        "tree": state.running().map(tree),
        "denials": state.running().map(|running| {
            running.agent.counters().denials.list().iter().map(denial).collect::<Vec<_>>()
        }),
        "findings": state.running().map(|running| {
            let found = running.agent.findings();
            found.iter().map(|found| json!({ "at": unix(found.at), "text": found.text })).collect::<Vec<_>>()
        }),
    })
}

fn tree(Running { tree, .. }: &Running) -> Value {
    let status = tree.status();
    let stats = tree.stats();
    json!({
        "healthy": status.is_healthy,
        "listeners": status.listeners,
        "links": status.links.iter().map(|link| json!({
            "peer": link.peer, "age_s": link.age.as_secs(), "messages": link.messages,
            "unanswered": link.unanswered,
        })).collect::<Vec<_>>(),
        "queue": { "depth": status.queue, "limit": status.queue_limit },
        "workers": status.workers.iter().map(|worker| json!({
            "worker": worker.number, "state": worker.state.as_str(), "generation": worker.generation,
            "requests": worker.requests,
            "busy_ms": worker.busy_for.map(|time| time.as_secs_f64() * 1e3),
        })).collect::<Vec<_>>(),
        "restarts": EndCause::ALL.iter().map(|cause| {
            (cause.as_str().to_owned(), json!(stats.ends(*cause).get()))
        }).collect::<serde_json::Map<_, _>>(),
        "not_inspected": FailureKind::ALL.iter().map(|kind| {
            (kind.as_str().to_owned(), json!(stats.not_inspected(*kind).get()))
        }).collect::<serde_json::Map<_, _>>(),
        "crashes": status.crashes.iter().map(crash).collect::<Vec<_>>(),
    })
}

fn crash(crash: &Crash) -> Value {
    json!({
        "at": unix(crash.at), "worker": crash.worker, "generation": crash.generation,
        "cause": crash.cause.as_str(), "reason": crash.reason,
        "request": crash.request.as_deref().map(without_query),
    })
}

fn denial(denial: &Denial) -> Value {
    json!({
        "at": unix(denial.at), "kind": denial.kind, "id": denial.id, "client": denial.client,
        "app": denial.application, "host": denial.host, "method": denial.method, "path": denial.path,
        "verdict": denial.verdict, "status": denial.status, "rules": denial.rules, "message": denial.message,
    })
}

/// A request as the log names it, without the query of its URI: a query may have secrets. The URI is the last of the pairs.
pub(super) fn without_query(request: &str) -> &str {
    let Some((before, uri)) = request.split_once(" uri=") else { return request };
    let path = uri.find(['?', ';', '#']).unwrap_or(uri.len());
    request.get(..before.len() + " uri=".len() + path).unwrap_or_default()
}

/// Seconds since 1970.
fn unix(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_shows_no_query() {
        assert_eq!(without_query("id=1 host=a uri=/login?password=x y"), "id=1 host=a uri=/login");
        assert_eq!(without_query("id=1 uri=/plain"), "id=1 uri=/plain");
        assert_eq!(without_query("id=1"), "id=1");
    }
}
