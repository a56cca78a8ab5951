//! Log lines that peers cause: at most one a second of each kind, so that a peer cannot fill the log.
//!
//! The first event of a kind is logged at once, in full. Those that follow within the second are counted, and the count is
//! logged when the second is over.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use slog::{Logger, warn};

use crate::failure::{Failure, FailureKind};

/// Shared by Connections and workers.
pub(crate) struct PeerLog {
    log: Logger,
    start: Instant,
    failures: [Limit; FailureKind::ALL.len()],
    rejections: Limit,
}

#[derive(Default)]
struct Limit {
    /// The second (from 1) of the last event.
    second: AtomicU64,
    /// Events without a line of their own, since the last count was logged.
    unsaid: AtomicU64,
}

impl Limit {
    fn admits(&self, second: u64) -> bool {
        let admits = self.second.swap(second, Ordering::Relaxed) != second;
        if !admits {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
        }
        admits
    }
}

impl PeerLog {
    /// A log to which no peer has caused a line yet.
    #[must_use]
    pub(crate) fn new(log: Logger) -> Self {
        Self { log, start: Instant::now(), failures: Default::default(), rejections: Limit::default() }
    }

    /// Logs that a request was not inspected. `request` names it, as far as it is known.
    pub(crate) fn failure(&self, failure: &Failure, request: impl slog::KV) {
        if self.failures.get(failure.kind as usize).is_some_and(|limit| limit.admits(self.second())) {
            warn!(self.log, # "request_not_inspected", "request not inspected";
                "error" => failure.kind.as_str(), "cause" => &*failure.cause, request);
        }
    }

    /// Logs that a link was closed because its peer broke the protocol.
    pub(crate) fn rejection(&self, peer: &str, cause: &impl fmt::Display) {
        if self.rejections.admits(self.second()) {
            warn!(self.log, # "peer_broke_protocol", "link closed, the peer broke the protocol"; "peer" => peer, "cause" => %cause);
        }
    }

    /// Logs how many events got no line of their own. Called once a second.
    pub(crate) fn flush(&self) {
        for (limit, kind) in self.failures.iter().zip(FailureKind::ALL) {
            let unsaid = limit.unsaid.swap(0, Ordering::Relaxed);
            if unsaid > 0 {
                warn!(self.log, # "more_requests_not_inspected", "more requests not inspected"; "error" => kind.as_str(), "requests" => unsaid);
            }
        }
        let unsaid = self.rejections.unsaid.swap(0, Ordering::Relaxed);
        if unsaid > 0 {
            warn!(self.log, # "more_peers_broke_protocol", "more links closed, their peers broke the protocol"; "links" => unsaid);
        }
    }

    fn second(&self) -> u64 {
        self.start.elapsed().as_secs() + 1
    }
}
