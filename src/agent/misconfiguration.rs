//! Warnings about a HAProxy that is not configured as the operator thinks, from what it sends.
//!
//! Messages are counted by the minute. Each finding is logged when the counts first show it, at most once a minute.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use slog::{Logger, warn};

use crate::message::HttpMessage;
use crate::message::quoted::Quoted;
use crate::message::verdict::{AuditLosses, Verdict};

/// Time over which messages are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Requests or health checks that must have come before the absence of something is worth a warning.
const ENOUGH: u64 = 10;

/// How many of the unknown applications are named.
const MAX_NAMES: usize = 5;

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
    /// The first few of the applications that are unknown, as the log shows them.
    unknown_names: Mutex<Vec<String>>,
    /// Whether any message has come since the start.
    any: AtomicBool,
    window: Mutex<Window>,
    findings: Mutex<Vec<Finding>>,
    audit: Mutex<Audit>,
}

/// What seems to be configured wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, and what to do about it.
    pub text: &'static str,
    /// When it was last found.
    pub at: SystemTime,
}

const NO_BODIES: &str = "bodies are announced and do not come: HAProxy needs `option http-buffer-request`";
const NO_CLIENT: &str =
    "no request has its client's address, rules see 0.0.0.0: the message needs src-ip=src";
const ONLY_CHECKS: &str =
    "HAProxy checks this agent and has never sent it a request: is the message or its group sent?";
const NO_TRANSACTION: &str = "responses come without their transaction and are inspected on their own: --responses is too \
    small, or the message lacks id=var(txn.modsec.id)";
const NO_APPLICATION: &str = "messages name an application that has no --app";

/// Audit records that no log line has told of yet.
#[derive(Debug, Default)]
struct Audit {
    losses: AuditLosses,
    /// When the last line told of some.
    told: Option<Instant>,
}

impl Audit {
    /// Tells of the losses: of the first at once, of further ones once a minute.
    fn review(&mut self, log: &Logger, now: Instant) {
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= WINDOW);
        if self.losses.records > 0 && is_due {
            self.told = Some(now);
            let AuditLosses { records, cause } = std::mem::take(&mut self.losses);
            warn!(log, # "audit_records_lost", "audit records lost"; "records" => records, "cause" => %Quoted(cause.as_bytes()));
        }
    }
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
        if !application_is_known {
            count(&self.unknown_application, true);
            self.name(message.application().unwrap_or_default());
        }
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

    /// Keeps the name of an unknown application, if there are few yet.
    fn name(&self, application: &[u8]) {
        // A name that is not kept because another thread has the list will come again.
        let Ok(mut names) = self.unknown_names.try_lock() else { return };
        if names.len() < MAX_NAMES {
            let name = Quoted(application).to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }

    /// Counts a health check.
    pub(super) fn health_check(&self) {
        count(&self.health_checks, true);
    }

    /// Counts an engine's verdict on a message.
    pub(super) fn verdict(&self, verdict: &Verdict) {
        if verdict.audit_losses.records > 0 {
            let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
            audit.losses.add(verdict.audit_losses.clone());
        }
        count(&self.without_transaction, verdict.has_no_request);
    }

    /// Remembers a finding, once of each kind.
    fn found(&self, text: &'static str) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.retain(|finding| finding.text != text);
        findings.push(Finding { text, at: SystemTime::now() });
    }

    /// The latest finding of each kind.
    pub(super) fn findings(&self) -> Vec<Finding> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs the findings that are new in this minute. To be called about once a second.
    pub(super) fn review(&self, log: &Logger, now: Instant) {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner).review(log, now);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *window.start.get_or_insert(now);
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [bodies, clients, checks, responses, applications] = &mut window.logged;
        if get(&self.without_body) > 0 && !std::mem::replace(bodies, true) {
            self.found(NO_BODIES);
            warn!(log, # "bodies_missing", "{}", NO_BODIES;
                "announced" => get(&self.announced), "without_body" => get(&self.without_body));
        }
        if get(&self.requests) >= ENOUGH && get(&self.with_client) == 0 && !std::mem::replace(clients, true) {
            self.found(NO_CLIENT);
            warn!(log, # "clients_missing", "{}", NO_CLIENT;
                "requests" => get(&self.requests));
        }
        if get(&self.health_checks) >= ENOUGH
            && !self.any.load(Ordering::Relaxed)
            && !std::mem::replace(checks, true)
        {
            self.found(ONLY_CHECKS);
            warn!(log, # "requests_missing", "{}", ONLY_CHECKS;
                "health_checks" => get(&self.health_checks));
        }
        if get(&self.without_transaction) > 0 && !std::mem::replace(responses, true) {
            self.found(NO_TRANSACTION);
            warn!(log, # "responses_without_transaction", "{}", NO_TRANSACTION;
                "responses" => get(&self.responses), "without_transaction" => get(&self.without_transaction));
        }
        if get(&self.unknown_application) > 0 && !std::mem::replace(applications, true) {
            let names = self.unknown_names.lock().unwrap_or_else(PoisonError::into_inner).join(" ");
            self.found(NO_APPLICATION);
            warn!(log, # "unknown_application", "{}", NO_APPLICATION;
                "messages" => get(&self.unknown_application), "applications" => names);
        }
        if now.duration_since(start) >= WINDOW {
            *window = Window { start: Some(now), logged: [false; 5] };
            self.unknown_names.lock().unwrap_or_else(PoisonError::into_inner).clear();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_records_are_told_at_once_and_then_once_a_minute() {
        let log = Logger::root(slog::Discard, slog::o!());
        let (mut audit, start) = (Audit::default(), Instant::now());
        let mut untold = Vec::new();
        for second in 0..150 {
            audit.losses.add(AuditLosses { records: 2, cause: "full".to_owned() });
            audit.review(&log, start + Duration::from_secs(second));
            untold.push(audit.losses.records);
        }
        let told: Vec<_> =
            untold.iter().enumerate().filter(|(_, left)| **left == 0).map(|(at, _)| at).collect();
        assert_eq!((told, untold[59]), (vec![0, 60, 120], 118));
    }
}
