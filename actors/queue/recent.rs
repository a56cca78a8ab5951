//! The mean time of the last jobs.

use std::array;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The mean is that of this many jobs. Jobs are offered far more often than they end: if the mean followed each of them
/// closely, the shortest would admit too many. And what is older than these jobs must not count at all: a mean in which
/// slow jobs fade away would go on refusing quick ones when a flood of slow ones is over.
const JOBS: usize = 64;

/// The last jobs.
#[derive(Debug)]
pub(super) struct Recent {
    start: Instant,
    /// The mean is forgotten when no job was measured for this time, in milliseconds.
    memory: u64,
    /// The times in nanoseconds, the oldest at `next`.
    times: [AtomicU64; JOBS],
    sum: AtomicU64,
    /// The number of jobs that were measured.
    count: AtomicUsize,
    /// When the last was measured, in milliseconds since `start`.
    last: AtomicU64,
}

impl Recent {
    /// Without any job. The mean is forgotten when no job was measured for the time `memory`.
    pub(super) fn new(memory: Duration) -> Self {
        Self {
            start: Instant::now(),
            memory: memory.as_millis() as u64,
            times: array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Counts a job that took this time, in nanoseconds.
    pub(super) fn add(&self, time: u64, now: Instant) {
        if self.mean(now) == 0 {
            // Two workers that do so at a time forget one job too many, which hardly matters.
            self.times.iter().for_each(|slot| self.replace(slot, 0));
            self.count.store(0, Ordering::Relaxed);
        }
        let place = self.count.fetch_add(1, Ordering::Relaxed) % JOBS;
        if let Some(slot) = self.times.get(place) {
            self.replace(slot, time);
        }
        self.last.store(self.now(now), Ordering::Relaxed);
    }

    fn replace(&self, slot: &AtomicU64, time: u64) {
        let old = slot.swap(time, Ordering::Relaxed);
        self.sum.fetch_add(time.wrapping_sub(old), Ordering::Relaxed);
    }

    /// The mean in nanoseconds; 0 when nothing is known.
    pub(super) fn mean(&self, now: Instant) -> u64 {
        if self.now(now).saturating_sub(self.last.load(Ordering::Relaxed)) > self.memory {
            return 0;
        }
        let count = self.count.load(Ordering::Relaxed).min(JOBS) as u64;
        self.sum.load(Ordering::Relaxed).checked_div(count).unwrap_or_default()
    }

    fn now(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }
}
