//! Watches what HAProxy sends for signs that it is not configured as the operator thinks: nobody would be told otherwise.
//!
//! Counted by the minute; each finding is logged when it shows, and at most once in a minute.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use slog::{Logger, warn};

use crate::message::HttpMessage;
use crate::message::verdict::Verdict;

/// What is counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Requests or health checks after which "none" means something.
const ENOUGH: u64 = 10;

/// What came in the current minute.
#[derive(Debug, Default)]
pub(super) struct Watch {
    requests: AtomicU64,
    with_client: AtomicU64,
    /// With a body, by their size.
    announced: AtomicU64,
    /// … of which nothing came.
    without_body: AtomicU64,
    responses: AtomicU64,
    lost: AtomicU64,
    health_checks: AtomicU64,
    unknown_application: AtomicU64,
    /// Any message, ever.
    any: AtomicBool,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    start: Option<Instant>,
    told: [bool; 5],
}

fn count(counter: &AtomicU64, counts: bool) {
    counter.fetch_add(counts.into(), Ordering::Relaxed);
}

impl Watch {
    /// A message came.
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

    /// A health check came.
    pub(super) fn health_check(&self) {
        count(&self.health_checks, true);
    }

    /// An engine is done with a message.
    pub(super) fn verdict(&self, verdict: &Verdict) {
        count(&self.lost, verdict.has_no_request);
    }

    /// Tells the log what there is to tell. To be called about once a second.
    pub(super) fn review(&self, log: &Logger, now: Instant) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *window.start.get_or_insert(now);
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [bodies, clients, checks, responses, applications] = &mut window.told;
        if get(&self.without_body) > 0 && !std::mem::replace(bodies, true) {
            warn!(log, "bodies are announced and do not come: HAProxy needs `option http-buffer-request`";
                "announced" => get(&self.announced), "without body" => get(&self.without_body));
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
                "health checks" => get(&self.health_checks));
        }
        if get(&self.lost) > 0 && !std::mem::replace(responses, true) {
            warn!(log, "responses come without their transaction and are inspected on their own: --responses is too small, \
                or the message lacks id=var(txn.modsec.id)";
                "responses" => get(&self.responses), "without transaction" => get(&self.lost));
        }
        if get(&self.unknown_application) > 0 && !std::mem::replace(applications, true) {
            warn!(log, "messages name an application that has no --app"; "messages" => get(&self.unknown_application));
        }
        if now.duration_since(start) >= WINDOW {
            *window = Window { start: Some(now), told: [false; 5] };
            for counter in [
                &self.requests,
                &self.with_client,
                &self.announced,
                &self.without_body,
                &self.responses,
                &self.lost,
                &self.health_checks,
                &self.unknown_application,
            ] {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }
}
