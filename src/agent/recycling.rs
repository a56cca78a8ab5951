//! Engine processes that are replaced after so many requests (`--max-requests`): whatever they may have leaked goes with
//! them.

/// When the engine process of a worker is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recycling {
    /// Requests that one inspects; 0: as many as there are.
    pub max_requests: u32,
    /// How many workers there are.
    pub workers: usize,
}

impl Recycling {
    /// Requests for an engine that starts when those of all workers do: for each worker another number, so that they are
    /// not replaced at the same time. `worker` counts from 1.
    pub(super) fn first(self, worker: usize) -> u64 {
        let (workers, place) = (self.workers.max(1) as u64, self.workers.saturating_sub(worker) as u64 + 1);
        match self.max_requests {
            0 => u64::MAX,
            max => (u64::from(max) * place).div_ceil(workers),
        }
    }

    /// Requests for an engine that takes the place of one that had enough.
    pub(super) fn later(self) -> u64 {
        match self.max_requests {
            0 => u64::MAX,
            max => u64::from(max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_spread_and_none_is_above_the_limit() {
        let first = |max_requests, workers| {
            (1..=workers).map(|worker| Recycling { max_requests, workers }.first(worker)).collect::<Vec<_>>()
        };
        assert_eq!(first(1000, 4), [1000, 750, 500, 250]);
        assert_eq!(first(2, 3), [2, 2, 1]);
        assert_eq!(first(u32::MAX, 1), [u64::from(u32::MAX)]);
        assert_eq!(first(0, 2), [u64::MAX; 2]);
        assert_eq!(Recycling { max_requests: 7, workers: 3 }.later(), 7);
    }
}
