//! Admission: whether a job is likely to be answered in time, by the measured load of the pool. Workers decide by the same
//! measurement how many jobs to take together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Each new measurement has a share of 1/64 in the mean. Jobs are offered far more often than they end: if the mean followed
/// each measurement closely, the shortest of them would admit too many.
const WEIGHT: u64 = 64;

/// A job is admitted when it is expected to take at most this share of its deadline, in percent. At 100 % the queue of a
/// loaded pool would be as long as the deadline, and each job that takes a little longer than the mean would make those
/// behind it late.
const BUDGET: u32 = 80;

/// How long jobs that an engine gets together may take in all: the last of them waits for the others.
const TOGETHER: Duration = Duration::from_millis(1);

/// The measured load; shared by Connections, workers and the Pool.
#[derive(Debug)]
pub(crate) struct Admission {
    workers: u64,
    deadline: Duration,
    /// Moving mean of the time that a worker takes for one job, in nanoseconds.
    service: AtomicU64,
    /// Number of verdicts.
    verdicts: AtomicU64,
    /// No engine runs, and restarts did not help.
    down: AtomicBool,
}

impl Admission {
    /// For a pool of this size that takes at least `throttle` for each job.
    pub(crate) fn new(workers: usize, deadline: Duration, throttle: Duration) -> Self {
        Self {
            workers: workers as u64,
            deadline,
            service: AtomicU64::new(throttle.as_nanos() as u64),
            verdicts: AtomicU64::new(0),
            down: AtomicBool::new(false),
        }
    }

    /// Counts the time that a worker took for one job; a slow job counts as one deadline at most.
    pub(crate) fn served(&self, time: Duration) {
        let time = time.min(self.deadline).as_nanos() as u64;
        // Two workers may overwrite each other's measurement, which hardly changes a mean.
        let mean = self.service.load(Ordering::Relaxed);
        let mean = if mean == 0 { time } else { mean - mean / WEIGHT + time / WEIGHT };
        self.service.store(mean, Ordering::Relaxed);
    }

    /// The number of jobs that an engine may get together, at least 1.
    pub(crate) fn at_a_time(&self) -> usize {
        let service = self.service.load(Ordering::Relaxed);
        let jobs = (TOGETHER.as_nanos() as u64).checked_div(service).unwrap_or_default();
        jobs.max(1) as usize
    }

    /// Whether a job is likely to be answered within its deadline when `waiting` others are in front of it. The first in the
    /// queue is always admitted.
    pub(crate) fn admits(&self, waiting: usize) -> bool {
        self.admits_to(self.workers, waiting)
    }

    /// Like [`admits`](Self::admits), for a job that only one worker may take; `waiting` others are for the same worker.
    pub(crate) fn admits_to_one(&self, waiting: usize) -> bool {
        self.admits_to(1, waiting)
    }

    fn admits_to(&self, workers: u64, waiting: usize) -> bool {
        if waiting == 0 {
            return true;
        }
        let service = self.service.load(Ordering::Relaxed);
        let turns = (waiting as u64) / workers + 2;
        Duration::from_nanos(service.saturating_mul(turns)) <= self.deadline * BUDGET / 100
    }

    /// Counts a verdict.
    pub(crate) fn count_verdict(&self) {
        self.verdicts.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of verdicts since the start.
    pub(crate) fn verdicts(&self) -> u64 {
        self.verdicts.load(Ordering::Relaxed)
    }

    /// Whether the pool is down: no engine runs, and requests are answered at once.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Sets whether the pool is down, and returns whether that is a change.
    pub(crate) fn set_down(&self, down: bool) -> bool {
        self.down.swap(down, Ordering::Relaxed) != down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_follows_the_measured_time_and_the_queue() {
        let admission = Admission::new(4, Duration::from_millis(500), Duration::ZERO);
        assert!(admission.admits(100_000), "nothing is measured yet");
        for _ in 0..100 {
            admission.served(Duration::from_millis(10));
        }
        assert!((9_900_000..=10_000_000).contains(&admission.service.load(Ordering::Relaxed)));
        // 40 turns of 10 ms: about 4 x 38 in front.
        assert!(admission.admits(140));
        assert!(!admission.admits(180));
        for _ in 0..100 {
            admission.served(Duration::from_secs(60));
        }
        assert!(
            admission.admits(0) && !admission.admits(10),
            "slow jobs count, but the first always gets its chance"
        );
    }

    #[test]
    fn as_many_jobs_go_together_as_fit_in_a_millisecond() {
        let admission = Admission::new(4, Duration::from_millis(500), Duration::ZERO);
        assert_eq!(admission.at_a_time(), 1, "nothing is measured yet");
        admission.served(Duration::from_micros(90));
        assert_eq!(admission.at_a_time(), 11);
        (0..500).for_each(|_| admission.served(Duration::from_millis(2)));
        assert_eq!(admission.at_a_time(), 1);
    }

    #[test]
    fn the_throttle_is_known_before_anything_is_measured() {
        let admission = Admission::new(1, Duration::from_millis(500), Duration::from_millis(100));
        assert!(admission.admits(2) && !admission.admits(3));
    }
}
