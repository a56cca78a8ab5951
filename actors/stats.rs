//! What the tree has done: counters and histograms.
//!
//! One event has one counter, which is changed in one place, and no lock: whoever answers a request adds to atomic numbers.
//! Numbers that belong together may be read between two of these additions, and then differ by that request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::failure::FailureKind;

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds this number.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The parts of a request's time that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From its arrival until a worker has taken it.
    Queue,
    /// With the engine, the way to its process and back included.
    Engine,
    /// From its arrival to its ACK, whether it was inspected or not.
    Whole,
}

impl Stage {
    /// All stages, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Engine, Self::Whole];

    /// The name of the stage in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Engine => "engine",
            Self::Whole => "whole",
        }
    }
}

/// Why the thread of a worker ended without having been told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// Its engine died while it inspected a request, or had to be ended.
    Request,
    /// Its engine died without a request.
    Idle,
    /// Its engine did not start.
    Start,
    /// The thread panicked outside the engine.
    Panic,
}

impl EndCause {
    /// All causes, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Request, Self::Idle, Self::Start, Self::Panic];

    /// The name of the cause in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Idle => "idle",
            Self::Start => "start",
            Self::Panic => "panic",
        }
    }
}

/// The upper bounds of a histogram's buckets, in microseconds. Behind them is one more bucket, without a bound.
pub const BOUNDS_US: [u64; 19] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Counts that something took this time.
    pub fn observe(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1000 < nanoseconds);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn get(&self) -> Distribution {
        let mut buckets = [0; BOUNDS_US.len() + 1];
        for (number, bucket) in buckets.iter_mut().zip(&self.buckets) {
            *number = bucket.load(Ordering::Relaxed);
        }
        Distribution { buckets, sum: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)) }
    }
}

/// What a [`Histogram`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The number in each bucket, not in those below it.
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// All times together.
    pub sum: Duration,
}

impl Distribution {
    /// The number of times that were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What was counted since an earlier reading.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        for (number, before) in since.buckets.iter_mut().zip(before.buckets) {
            *number = number.saturating_sub(before);
        }
        since.sum = self.sum.saturating_sub(before.sum);
        since
    }

    /// The time that this share (0 to 1) of what was counted did not exceed, in seconds, as far as the buckets tell; `None` when
    /// nothing was counted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = self.count() as f64 * share;
        let (mut below, mut lower) = (0.0, 0.0);
        for (index, &number) in self.buckets.iter().enumerate().filter(|(_, number)| **number > 0) {
            let upper = BOUNDS_US.get(index).or(BOUNDS_US.last()).map_or(0.0, |&bound| bound as f64 / 1e6);
            if index > 0 {
                lower = BOUNDS_US.get(index - 1).map_or(0.0, |&bound| bound as f64 / 1e6);
            }
            if below + number as f64 >= rank {
                return Some(
                    lower + (upper - lower).max(0.0) * ((rank - below) / number as f64).clamp(0.0, 1.0),
                );
            }
            below += number as f64;
        }
        None
    }
}

/// The counters of the tree.
#[derive(Debug, Default)]
pub struct Stats {
    not_inspected: [Counter; FailureKind::ALL.len()],
    stages: [Histogram; Stage::ALL.len()],
    ends: [Counter; EndCause::ALL.len()],
    /// Links that were accepted.
    pub links: Counter,
    /// Links that were closed because their peer broke the protocol.
    pub links_rejected: Counter,
    /// Health checks of HAProxy that were answered.
    pub health_checks: Counter,
    /// Bytes that were read from links.
    pub bytes_read: Counter,
    /// Bytes that were written to links.
    pub bytes_written: Counter,
    /// Requests that began to be held in quarantine.
    pub quarantined: Counter,
    /// How often what engines are made from was replaced because restarts did not help.
    pub rebuilds: Counter,
}

impl Stats {
    /// The requests that were not inspected, by this cause.
    pub fn not_inspected(&self, kind: FailureKind) -> &Counter {
        // The list has an entry for each kind.
        #[allow(clippy::indexing_slicing)]
        &self.not_inspected[kind as usize]
    }

    /// The times of this stage.
    pub fn stage(&self, stage: Stage) -> &Histogram {
        // As above.
        #[allow(clippy::indexing_slicing)]
        &self.stages[stage as usize]
    }

    /// The ends of workers by this cause.
    pub fn ends(&self, cause: EndCause) -> &Counter {
        // As above.
        #[allow(clippy::indexing_slicing)]
        &self.ends[cause as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for micros in [0, 10, 11, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let seen = histogram.get();
        assert_eq!((seen.buckets[0], seen.buckets[1]), (2, 1));
        assert_eq!((seen.buckets[18], seen.buckets[19]), (1, 1));
        assert_eq!((seen.count(), seen.sum), (5, Duration::from_micros(20_000_022)));
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_that_has_it() {
        let histogram = Histogram::default();
        assert_eq!(histogram.get().quantile(0.5), None);
        (0..90).for_each(|_| histogram.observe(Duration::from_micros(300)));
        (0..10).for_each(|_| histogram.observe(Duration::from_millis(40)));
        let seen = histogram.get();
        assert!((0.000_25..=0.0005).contains(&seen.quantile(0.5).unwrap()));
        assert!((0.025..=0.05).contains(&seen.quantile(0.99).unwrap()));
        assert_eq!(seen.since(&seen).quantile(0.5), None);
    }

    #[test]
    fn the_lists_are_in_the_order_of_the_discriminants() {
        assert!(Stage::ALL.iter().enumerate().all(|(index, stage)| *stage as usize == index));
        assert!(EndCause::ALL.iter().enumerate().all(|(index, cause)| *cause as usize == index));
    }
}
