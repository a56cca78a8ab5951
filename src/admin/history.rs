//! The last hour, for the charts of the page: a sample every ten seconds, of which each has the counters of its moment.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actors::FailureKind;
use actors::stats::{Distribution, Stage};

use super::state::AdminState;

/// The time between two samples.
pub(super) const STEP: Duration = Duration::from_secs(10);

/// The samples of an hour, and the one before it.
const SAMPLES: usize = 361;

/// The samples, the oldest first.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

/// The counters at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    at: Instant,
    pub(super) totals: Totals,
}

/// All messages so far, by what HAProxy was told, and their times.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Let through after inspection.
    pub(super) allowed: u64,
    /// Denied, redirected, dropped, or only detected.
    pub(super) denied: u64,
    /// Not inspected.
    pub(super) failed: u64,
    /// From arrival to ACK.
    pub(super) times: Distribution,
}

/// What happened between two samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// The time from its middle to now, in minutes.
    pub(super) minutes_ago: f64,
    /// Messages a second.
    pub(super) allowed: f64,
    pub(super) denied: f64,
    pub(super) failed: f64,
    /// The median of the time to the ACK, in seconds.
    pub(super) median: Option<f64>,
    /// Its 99th percentile.
    pub(super) slowest: Option<f64>,
}

impl Totals {
    /// The counters of now; `None` while no rules are loaded.
    pub(super) fn now(state: &AdminState) -> Option<Self> {
        let running = state.running()?;
        let mut totals = Self::default();
        for (.., verdict, count) in running.agent.counters().told() {
            *(if verdict == "allow" { &mut totals.allowed } else { &mut totals.denied }) += count;
        }
        let stats = running.tree.stats();
        totals.failed = FailureKind::ALL.iter().map(|kind| stats.not_inspected(*kind).get()).sum();
        totals.times = stats.stage(Stage::Whole).get();
        Some(totals)
    }

    /// What was counted since an earlier reading.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            allowed: self.allowed.saturating_sub(before.allowed),
            denied: self.denied.saturating_sub(before.denied),
            failed: self.failed.saturating_sub(before.failed),
            times: self.times.since(&before.times),
        }
    }
}

impl History {
    /// Adds a sample, when there is something to sample.
    pub(super) fn add(&self, state: &AdminState) {
        if let Some(totals) = Totals::now(state) {
            let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            samples.push_back(Sample { at: Instant::now(), totals });
            while samples.len() > SAMPLES {
                samples.pop_front();
            }
        }
    }

    /// The intervals between the samples, and that from the last one to now.
    pub(super) fn intervals(&self, state: &AdminState) -> Vec<Interval> {
        let now = Instant::now();
        let mut samples: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        samples.extend(Totals::now(state).map(|totals| Sample { at: now, totals }));
        let pairs = samples.iter().zip(samples.iter().skip(1));
        pairs.filter_map(|(from, to)| Interval::between(from, to, now)).collect()
    }
}

impl Interval {
    /// `None` for one that is too short to say much.
    fn between(from: &Sample, to: &Sample, now: Instant) -> Option<Self> {
        let length = to.at.saturating_duration_since(from.at);
        if length < Duration::from_secs(1) {
            return None;
        }
        let seconds = length.as_secs_f64();
        let counted = to.totals.since(&from.totals);
        let middle = now.saturating_duration_since(from.at + length / 2);
        Some(Self {
            minutes_ago: middle.as_secs_f64() / 60.0,
            allowed: counted.allowed as f64 / seconds,
            denied: counted.denied as f64 / seconds,
            failed: counted.failed as f64 / seconds,
            median: counted.times.quantile(0.5),
            slowest: counted.times.quantile(0.99),
        })
    }
}
