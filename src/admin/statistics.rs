//! The statistics line of the log, for who has no `--admin`.

use std::time::{Duration, Instant};

use actors::WorkerState;
use actors::stats::EndCause;
use slog::{Logger, info};

use super::history::Totals;
use super::state::AdminState;

/// Writes a line about what happened since the last one.
pub(crate) struct Statistics {
    since: Instant,
    before: Totals,
    restarts: u64,
}

impl Statistics {
    /// The time between two lines.
    pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

    /// Begins to count.
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), before: Totals::default(), restarts: 0 }
    }

    /// Writes the line.
    pub(crate) fn log(&mut self, state: &AdminState, log: &Logger) {
        let (Some(totals), Some(running)) = (Totals::now(state), state.running()) else { return };
        let (counted, time) = (totals.since(&self.before), self.since.elapsed());
        let restarts = EndCause::ALL.iter().map(|cause| running.tree.stats().ends(*cause).get()).sum();
        let workers = running.tree.workers();
        let busy = workers.iter().filter(|worker| worker.state == WorkerState::Busy).count();
        let micros = |share| counted.times.quantile(share).map_or(0, |seconds: f64| (seconds * 1e6) as u64);
        info!(log, # "statistics", "statistics"; "interval_s" => time.as_secs_f64().round() as u64,
            "allowed" => counted.allowed, "denied" => counted.denied, "not_inspected" => counted.failed,
            "p50_us" => micros(0.5), "p99_us" => micros(0.99), "queue" => running.tree.queue_depth(),
            "busy" => busy, "workers" => workers.len(), "restarts" => restarts - self.restarts,
            "links" => running.tree.links());
        (self.since, self.before, self.restarts) = (Instant::now(), totals, restarts);
    }
}
