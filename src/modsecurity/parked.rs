//! Parked transactions: those that wait for their response, in the engine that inspected the request.
//!
//! Their number, the memory of their process, and the time that they wait are limited. When there is no room for
//! another, the oldest is finished: its logging phase runs, and its response, should it come, is inspected without it.
//!
//! The size of a transaction depends on the request, the rules and the library, so the memory is not reckoned but
//! measured. The system gets back what is freed only now and then; so when the process has grown too large, an eighth of
//! the transactions is finished, the memory is given back, and the next look follows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::verdict::{AuditLosses, RequestSummary};
use crate::modsecurity::audit::{self, AuditLog};
use crate::modsecurity::library::Transaction;
use crate::modsecurity::resident::Resident;

/// Expired transactions that are finished between two messages. More would keep the next message waiting.
const AT_A_TIME: usize = 16;

/// Bytes that the process may grow by, for each transaction that may be parked: several GETs with the Core Rule Set, or
/// half of a form of 7 KB.
const BYTES_EACH: usize = 256 * 1024;

/// Bytes that each engine may grow by besides, as the libraries keep as much for the next transaction.
const KEPT: usize = 16 * 1024 * 1024;

/// Transactions that are finished with each that is parked while the memory is too large. One is not enough, and many
/// would keep the next message waiting.
const SHRINK_AT_A_TIME: usize = 2;

/// How many transactions an engine may park, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionLimits {
    /// The most parked transactions; with 0, a transaction is finished with its request.
    pub count: usize,
    /// The longest time that a transaction is parked.
    pub ttl: Duration,
    /// Engines in the process: they share its memory.
    pub engines: usize,
}

impl RetentionLimits {
    /// No transaction is parked.
    pub const NONE: Self = Self { count: 0, ttl: Duration::ZERO, engines: 1 };
}

/// A parked transaction.
pub(super) struct Parked<T> {
    pub(super) transaction: T,
    /// Matches that the request's verdict has reported already.
    pub(super) reported: usize,
    /// What the log says of the request when the response is denied.
    pub(super) request: RequestSummary,
    /// Where its audit record goes.
    pub(super) audit: Arc<AuditLog>,
}

/// The parked transactions of one engine.
pub(super) struct ParkedTransactions<T: Transaction> {
    limits: RetentionLimits,
    by_id: HashMap<String, Parked<T>>,
    /// Ids with the time of parking, oldest first. Ids of transactions that were taken stay until their turn comes.
    order: VecDeque<(Instant, String)>,
    memory: Resident,
    /// The number of transactions down to which the oldest are finished; `None` while the memory is not too large.
    shrinking_to: Option<usize>,
    /// Gives freed memory back to the system.
    release: fn(),
}

impl<T: Transaction> ParkedTransactions<T> {
    /// None yet. The memory of the process is measured from now on; `release` gives freed memory back to the system.
    pub(super) fn new(limits: RetentionLimits, release: fn()) -> Self {
        let (by_id, order, memory) = (HashMap::new(), VecDeque::new(), Resident::new());
        Self { limits, by_id, order, memory, shrinking_to: None, release }
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
        self.order.push_back((now, id.clone()));
        self.by_id.insert(id, parked);
    }

    /// Finishes some of the oldest when the process has grown too large.
    fn shrink(&mut self, losses: &mut AuditLosses) {
        let count = self.by_id.len();
        let allowed = (self.limits.count * BYTES_EACH + KEPT) * self.limits.engines;
        if self.shrinking_to.is_none() && count > 0 && self.memory.grown() > allowed {
            self.shrinking_to = Some(count - count.div_ceil(8));
        }
        let Some(target) = self.shrinking_to else { return };
        for _ in 0..SHRINK_AT_A_TIME {
            if self.by_id.len() > target {
                self.finish_oldest(losses);
            }
        }
        if self.by_id.len() <= target {
            self.shrinking_to = None;
            (self.release)();
        }
    }

    /// Finishes the oldest transaction. Returns `false` when none is parked.
    fn finish_oldest(&mut self, losses: &mut AuditLosses) -> bool {
        while let Some((_, id)) = self.order.pop_front() {
            if let Some(parked) = self.take(&id) {
                finish(parked, losses);
                return true;
            }
        }
        false
    }

    /// Takes a transaction out, so that a second response with the same id finds none.
    pub(super) fn take(&mut self, id: &str) -> Option<Parked<T>> {
        self.by_id.remove(id)
    }

    /// Finishes the oldest transactions until the others are within the limits, and at most [`AT_A_TIME`] expired ones,
    /// and counts the audit records that are lost. Returns the time until the next one expires; `None` when none is parked.
    pub(super) fn tidy(&mut self, now: Instant, losses: &mut AuditLosses) -> Option<Duration> {
        while self.by_id.len() > self.limits.count && self.finish_oldest(losses) {}
        self.shrink(losses);
        if self.shrinking_to.is_some() {
            // The next message has its turn before more of them are finished.
            return Some(Duration::ZERO);
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
        // Nobody asks this engine for a verdict any more.
        while self.finish_oldest(&mut AuditLosses::default()) {}
    }
}

/// Runs the logging phase of a transaction whose response has not come.
fn finish<T: Transaction>(mut parked: Parked<T>, losses: &mut AuditLosses) {
    // The request was answered long ago, so an error can be reported to no one.
    let _ = audit::log(&mut parked.transaction, None, &parked.audit, losses);
}
