//! How loaded the pool is, measured: what admission and workers decide by.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The share of each new measurement in the mean: 1/64. Admission is asked far more often than a job ends, so with a
/// mean that follows every measurement the shortest would decide.
const WEIGHT: u64 = 64;

/// The share of its deadline, in percent, that a job may be expected to take when it is admitted. The rest is for what
/// the mean does not say: at 100 % a queue under load is as long as the deadline, and each job that takes a little longer
/// than expected makes those behind it late.
const BUDGET: u32 = 80;

/// How long jobs that are handed to an engine together may take in all: what is last among them has no verdict before.
const TOGETHER: Duration = Duration::from_millis(1);

/// Shared by Connections, workers and the Pool.
#[derive(Debug)]
pub(crate) struct Admission {
    workers: u64,
    deadline: Duration,
    /// Moving mean of the time that a worker is occupied by one job, in nanoseconds.
    service: AtomicU64,
    /// Verdicts so far.
    verdicts: AtomicU64,
    /// No engine runs, and replacing them did not help.
    down: AtomicBool,
}

impl Admission {
    /// For a pool of this size whose jobs take at least `throttle`.
    pub(crate) fn new(workers: usize, deadline: Duration, throttle: Duration) -> Self {
        Self {
            workers: workers as u64,
            deadline,
            service: AtomicU64::new(throttle.as_nanos() as u64),
            verdicts: AtomicU64::new(0),
            down: AtomicBool::new(false),
        }
    }

    /// A worker was occupied by a job for so long. A single slow one counts no more than a deadline's worth.
    pub(crate) fn served(&self, time: Duration) {
        let time = time.min(self.deadline).as_nanos() as u64;
        // Two workers may overwrite each other's measurement, which a mean can bear.
        let mean = self.service.load(Ordering::Relaxed);
        let mean = if mean == 0 { time } else { mean - mean / WEIGHT + time / WEIGHT };
        self.service.store(mean, Ordering::Relaxed);
    }

    /// How many jobs are cheap enough to be handed to an engine together, at least one.
    pub(crate) fn at_a_time(&self) -> usize {
        let service = self.service.load(Ordering::Relaxed);
        let jobs = (TOGETHER.as_nanos() as u64).checked_div(service).unwrap_or_default();
        jobs.max(1) as usize
    }

    /// Whether a job behind so many others is likely to be answered within its deadline.
    ///
    /// With nobody in front it always gets its chance.
    pub(crate) fn admits(&self, waiting: usize) -> bool {
        self.admits_to(self.workers, waiting)
    }

    /// The same for a job that one worker must do, behind so many others of that kind.
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

    /// An engine gave a verdict.
    pub(crate) fn count_verdict(&self) {
        self.verdicts.fetch_add(1, Ordering::Relaxed);
    }

    /// Verdicts so far.
    pub(crate) fn verdicts(&self) -> u64 {
        self.verdicts.load(Ordering::Relaxed)
    }

    /// Whether it makes no sense to wait for an engine.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether it was different before.
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
