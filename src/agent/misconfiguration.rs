//! Warnings about a HAProxy that is not configured as the operator thinks, from what it sends.
//!
//! Messages are counted by the minute. Each finding is logged when the counts first show it, at most once a minute.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use slog::{Logger, warn};

use crate::message::HttpMessage;
use crate::message::verdict::Verdict;

/// Time over which messages are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Requests or health checks that must have come before the absence of something is worth a warning.
const ENOUGH: u64 = 10;

/// The counts of the current minute.
#[derive(Debug, Default)]
pub(super) struct Watch {
    requests: AtomicU64,
    with_client: AtomicU64,
    /// Requests whose size says that they have a body.
    announced: AtomicU64,
    /// Requests with an announced body of which HAProxy sent nothing.
    without_body: AtomicU64,
    responses: AtomicU64,
    /// Responses that found no parked transaction.
    without_transaction: AtomicU64,
    health_checks: AtomicU64,
    unknown_application: AtomicU64,
    /// Whether any message has come since the start.
    any: AtomicBool,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    start: Option<Instant>,
    /// Which of the five findings have been logged in this minute.
    logged: [bool; 5],
}

fn count(counter: &AtomicU64, counts: bool) {
    counter.fetch_add(counts.into(), Ordering::Relaxed);
}

impl Watch {
    /// Counts a message.
    pub(super) fn message(&self, message: &HttpMessage, application_is_known: bool) {
        count(&self.unknown_application, !application_is_known);
        self.any.store(true, Ordering::Relaxed);
        match message {
            HttpMessage::Request(request) => {
                count(&self.requests, true);
                count(&self.with_client, request.client.address.is_some());
                count(&self.announced, request.truncated || !request.body.is_empty());
                count(&self.without_body, request.truncated && request.body.is_empty());
            }
            HttpMessage::Response(_) => count(&self.responses, true),
        }
    }

    /// Counts a health check.
    pub(super) fn health_check(&self) {
        count(&self.health_checks, true);
    }

    /// Counts an engine's verdict on a message.
    pub(super) fn verdict(&self, verdict: &Verdict) {
        count(&self.without_transaction, verdict.has_no_request);
    }

    /// Logs the findings that are new in this minute. To be called about once a second.
    pub(super) fn review(&self, log: &Logger, now: Instant) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *window.start.get_or_insert(now);
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [bodies, clients, checks, responses, applications] = &mut window.logged;
        if get(&self.without_body) > 0 && !std::mem::replace(bodies, true) {
            warn!(log, "bodies are announced and do not come: HAProxy needs `option http-buffer-request`";
                "announced" => get(&self.announced), "without_body" => get(&self.without_body));
        }
        if get(&self.requests) >= ENOUGH && get(&self.with_client) == 0 && !std::mem::replace(clients, true) {
            warn!(log, "no request has its client's address, rules see 0.0.0.0: the message needs src-ip=src";
                "requests" => get(&self.requests));
        }
        if get(&self.health_checks) >= ENOUGH
            && !self.any.load(Ordering::Relaxed)
            && !std::mem::replace(checks, true)
        {
            warn!(log, "HAProxy checks this agent and has never sent it a request: is the message or its group sent?";
                "health_checks" => get(&self.health_checks));
        }
        if get(&self.without_transaction) > 0 && !std::mem::replace(responses, true) {
            warn!(log, "responses come without their transaction and are inspected on their own: --responses is too small, \
                or the message lacks id=var(txn.modsec.id)";
                "responses" => get(&self.responses), "without_transaction" => get(&self.without_transaction));
        }
        if get(&self.unknown_application) > 0 && !std::mem::replace(applications, true) {
            warn!(log, "messages name an application that has no --app"; "messages" => get(&self.unknown_application));
        }
        if now.duration_since(start) >= WINDOW {
            *window = Window { start: Some(now), logged: [false; 5] };
            for counter in [
                &self.requests,
                &self.with_client,
                &self.announced,
                &self.without_body,
                &self.responses,
                &self.without_transaction,
                &self.health_checks,
                &self.unknown_application,
            ] {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }
}
