//! Parked transactions: those that wait for their response, in the engine that inspected the request.
//!
//! Their number, the bytes of their requests, and the time that they wait are limited. When there is no room for
//! another, the oldest is finished: its logging phase runs, and its response, should it come, is inspected without it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::verdict::{AuditLosses, RequestSummary};
use crate::modsecurity::audit::{self, AuditLog};
use crate::modsecurity::library::Transaction;

/// Expired transactions that are finished between two messages. More would keep the next message waiting.
const AT_A_TIME: usize = 16;

/// Bytes of requests that may be parked, for each transaction that may be. A transaction takes about ten times the
/// memory of its request.
const BYTES_EACH: usize = 8 * 1024;

/// How many transactions an engine may park, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionLimits {
    /// The most parked transactions; with 0, a transaction is finished with its request.
    pub count: usize,
    /// The longest time that a transaction is parked.
    pub ttl: Duration,
}

impl RetentionLimits {
    /// No transaction is parked.
    pub const NONE: Self = Self { count: 0, ttl: Duration::ZERO };
}

/// A parked transaction.
pub(super) struct Parked<T> {
    pub(super) transaction: T,
    /// Matches that the request's verdict has reported already.
    pub(super) reported: usize,
    /// What the log says of the request when the response is denied.
    pub(super) request: RequestSummary,
    /// Bytes of the request's payload.
    pub(super) bytes: usize,
    /// Where its audit record goes.
    pub(super) audit: Arc<AuditLog>,
}

/// The parked transactions of one engine.
pub(super) struct ParkedTransactions<T: Transaction> {
    limits: RetentionLimits,
    by_id: HashMap<String, Parked<T>>,
    /// Ids with the time of parking, oldest first. Ids of transactions that were taken stay until their turn comes.
    order: VecDeque<(Instant, String)>,
    /// Bytes of all parked requests.
    bytes: usize,
}

impl<T: Transaction> ParkedTransactions<T> {
    pub(super) fn new(limits: RetentionLimits) -> Self {
        Self { limits, by_id: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// Whether transactions are parked at all.
    pub(super) fn is_enabled(&self) -> bool {
        self.limits.count > 0
    }

    /// Parks a transaction. Those that have to make room for it are finished by [`tidy`](Self::tidy), when no request is at
    /// hand: one that the engine dies of must cost no other request.
    pub(super) fn park(&mut self, id: String, parked: Parked<T>, now: Instant) {
        if self.order.len() > 2 * self.by_id.len() + AT_A_TIME {
            self.order.retain(|(_, id)| self.by_id.contains_key(id));
        }
        self.bytes += parked.bytes;
        self.order.push_back((now, id.clone()));
        self.by_id.insert(id, parked);
    }

    /// Takes a transaction out, so that a second response with the same id finds none.
    pub(super) fn take(&mut self, id: &str) -> Option<Parked<T>> {
        let parked = self.by_id.remove(id)?;
        self.bytes -= parked.bytes;
        Some(parked)
    }

    /// Finishes the oldest transactions until the others are within the limits, and at most [`AT_A_TIME`] expired ones,
    /// and counts the audit records that are lost. Returns the time until the next one expires; `None` when none is parked.
    pub(super) fn tidy(&mut self, now: Instant, losses: &mut AuditLosses) -> Option<Duration> {
        let room = self.limits.count * BYTES_EACH;
        while self.by_id.len() > self.limits.count || (self.bytes > room && self.by_id.len() > 1) {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            if let Some(oldest) = self.take(&oldest) {
                finish(oldest, losses);
            }
        }
        for _ in 0..AT_A_TIME {
            let (since, id) = self.order.front()?;
            if self.by_id.contains_key(id) {
                let left = (*since + self.limits.ttl).saturating_duration_since(now);
                if !left.is_zero() {
                    return Some(left);
                }
            }
            if let Some(parked) = self.order.pop_front().and_then(|(_, id)| self.take(&id)) {
                finish(parked, losses);
            }
        }
        Some(Duration::ZERO)
    }
}

impl<T: Transaction> Drop for ParkedTransactions<T> {
    fn drop(&mut self) {
        while let Some((_, id)) = self.order.pop_front() {
            if let Some(parked) = self.take(&id) {
                // Nobody asks this engine for a verdict any more.
                finish(parked, &mut AuditLosses::default());
            }
        }
    }
}

/// Runs the logging phase of a transaction whose response has not come.
fn finish<T: Transaction>(mut parked: Parked<T>, losses: &mut AuditLosses) {
    // The request was answered long ago, so an error can be reported to no one.
    let _ = audit::log(&mut parked.transaction, None, &parked.audit, losses);
}
