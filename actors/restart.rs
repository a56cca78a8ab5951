//! When a worker that crashed is restarted: at once, and after a doubling delay when it crashes too often, or when its engine
//! does not start.
//!
//! Intensity and period are those of Erlang's supervisors. An Erlang supervisor gives up when there are too many restarts;
//! here the delay grows to a cap instead, as without workers no request would be inspected any more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many restarts happen at once, and the delays of further ones.
#[derive(Clone, Copy, Debug)]
pub struct RestartPolicy {
    /// Restarts within `period` that happen at once.
    pub intensity: usize,
    /// The time over which restarts are counted.
    pub period: Duration,
    /// The first delay.
    pub first_delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
}

impl Default for RestartPolicy {
    /// For engines that are forked in 2 ms: delays come late and stay short.
    fn default() -> Self {
        Self {
            intensity: 50,
            period: Duration::from_secs(10),
            first_delay: Duration::from_millis(10),
            max_delay: Duration::from_secs(1),
        }
    }
}

/// The restarts of one worker.
#[derive(Debug)]
pub struct Restarts {
    policy: RestartPolicy,
    recent: VecDeque<Instant>,
    delay: Duration,
    /// The delay after the last start that failed; zero when none has since the last that did not.
    failed_start: Duration,
}

impl Restarts {
    /// No restart so far.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Self { policy, recent: VecDeque::new(), delay: Duration::ZERO, failed_start: Duration::ZERO }
    }

    /// Counts the restart that became necessary at `now`, and returns how long to wait before it.
    pub fn next_delay(&mut self, now: Instant) -> Duration {
        while let Some(&first) = self.recent.front() {
            if now.saturating_duration_since(first) < self.policy.period + self.delay {
                break;
            }
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() <= self.policy.intensity {
            self.delay = Duration::ZERO;
        } else {
            self.recent.pop_front();
            self.delay = (self.delay * 2).clamp(self.policy.first_delay, self.policy.max_delay);
        }
        self.delay
    }

    /// Counts a start that failed, and returns how long to wait before the next: also the first time, as whatever is missing
    /// will not be there a moment later.
    pub fn delay_of_failed_start(&mut self) -> Duration {
        self.failed_start = (self.failed_start * 2).clamp(self.policy.first_delay, self.policy.max_delay);
        self.failed_start
    }

    /// Forgets the starts that failed: one has not.
    pub fn started(&mut self) {
        self.failed_start = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_immediate_then_doubling_then_capped_then_forgiven() {
        let policy = RestartPolicy {
            intensity: 2,
            period: Duration::from_secs(1),
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_millis(300),
        };
        let mut restarts = Restarts::new(policy);
        let mut now = Instant::now();
        let mut millis = Vec::new();
        for _ in 0..6 {
            let delay = restarts.next_delay(now);
            millis.push(delay.as_millis());
            now += delay;
        }
        assert_eq!(millis, [0, 0, 100, 200, 300, 300]);
        now += Duration::from_secs(2);
        assert_eq!(restarts.next_delay(now), Duration::ZERO);
    }

    #[test]
    fn a_start_that_fails_is_not_tried_again_at_once() {
        let mut restarts = Restarts::new(RestartPolicy::default());
        let millis: Vec<_> = (0..9).map(|_| restarts.delay_of_failed_start().as_millis()).collect();
        assert_eq!(millis, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        restarts.started();
        assert_eq!(restarts.delay_of_failed_start().as_millis(), 10);
        assert_eq!(restarts.next_delay(Instant::now()), Duration::ZERO, "counted apart");
    }
}
