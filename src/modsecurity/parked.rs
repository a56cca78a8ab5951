//! Transactions that wait for their response, in the engine that inspected the request.
//!
//! They are bounded in number, in bytes and in time. Where there is no room, the oldest is finished first: its logging
//! phase runs, and a response that comes later finds it gone.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::message::verdict::RequestSummary;
use crate::modsecurity::library::Transaction;

/// Transactions that are finished in one go: whoever waits for the engine meanwhile has the next turn.
const AT_A_TIME: usize = 16;

/// Bytes of requests that wait, for each that may wait. What the engine makes of them is some ten times as much.
const BYTES_EACH: usize = 8 * 1024;

/// How many transactions may wait, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionLimits {
    /// Transactions; 0: none, they are finished with the request.
    pub count: usize,
    /// How long one may wait.
    pub ttl: Duration,
}

impl RetentionLimits {
    /// Nothing waits.
    pub const NONE: Self = Self { count: 0, ttl: Duration::ZERO };
}

/// A transaction after its request.
pub(super) struct Parked<T> {
    pub(super) transaction: T,
    /// Matches that were told with the request's verdict.
    pub(super) told: usize,
    /// What the log says of the request.
    pub(super) request: RequestSummary,
    /// Bytes of the request.
    pub(super) bytes: usize,
}

/// Those that wait.
pub(super) struct ParkedTransactions<T: Transaction> {
    bounds: RetentionLimits,
    by_id: HashMap<String, Parked<T>>,
    /// Oldest first; those taken meanwhile among them.
    order: VecDeque<(Instant, String)>,
    bytes: usize,
}

impl<T: Transaction> ParkedTransactions<T> {
    pub(super) fn new(bounds: RetentionLimits) -> Self {
        Self { bounds, by_id: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// Whether anything may wait.
    pub(super) fn is_possible(&self) -> bool {
        self.bounds.count > 0
    }

    /// Keeps a transaction, at the expense of the oldest.
    pub(super) fn keep(&mut self, id: String, kept: Parked<T>, now: Instant) {
        let room = (self.bounds.count * BYTES_EACH).saturating_sub(kept.bytes);
        while self.by_id.len() >= self.bounds.count || self.bytes > room {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            if let Some(kept) = self.take(&oldest) {
                finish(kept.transaction);
            }
        }
        if self.order.len() > 2 * self.by_id.len() + AT_A_TIME {
            self.order.retain(|(_, id)| self.by_id.contains_key(id));
        }
        self.bytes += kept.bytes;
        self.order.push_back((now, id.clone()));
        self.by_id.insert(id, kept);
    }

    /// Takes a transaction out: a second response finds nothing.
    pub(super) fn take(&mut self, id: &str) -> Option<Parked<T>> {
        let kept = self.by_id.remove(id)?;
        self.bytes -= kept.bytes;
        Some(kept)
    }

    /// Finishes some of those that have waited too long; gives the time until there is more to do.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Duration> {
        for _ in 0..AT_A_TIME {
            let (since, id) = self.order.front()?;
            if self.by_id.contains_key(id) {
                let left = (*since + self.bounds.ttl).saturating_duration_since(now);
                if !left.is_zero() {
                    return Some(left);
                }
            }
            if let Some(kept) = self.order.pop_front().and_then(|(_, id)| self.take(&id)) {
                finish(kept.transaction);
            }
        }
        Some(Duration::ZERO)
    }
}

impl<T: Transaction> Drop for ParkedTransactions<T> {
    fn drop(&mut self) {
        while let Some((_, id)) = self.order.pop_front() {
            if let Some(kept) = self.take(&id) {
                finish(kept.transaction);
            }
        }
    }
}

/// The logging phase of a transaction whose response nobody sent.
fn finish(mut transaction: impl Transaction) {
    // Its request was answered long ago, so there is nobody to be told of an error.
    let _ = transaction.log(None);
}
