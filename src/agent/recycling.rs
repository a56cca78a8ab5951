//! The number of requests after which an engine process is recycled (`--max-requests`): the system takes back whatever
//! it may have leaked.

/// When the engine process of a worker is recycled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recycling {
    /// Requests that one engine process inspects; 0 for no limit.
    pub max_requests: u32,
    /// The number of workers.
    pub workers: usize,
}

impl Recycling {
    /// The limit for an engine that starts together with those of all other workers. Each worker has another limit, so
    /// that they do not recycle their engines at the same time. `worker` counts from 1.
    pub(super) fn first(self, worker: usize) -> u64 {
        let (workers, place) = (self.workers.max(1) as u64, self.workers.saturating_sub(worker) as u64 + 1);
        match self.max_requests {
            0 => u64::MAX,
            max => (u64::from(max) * place).div_ceil(workers),
        }
    }

    /// The limit for an engine that takes the place of one that has reached its own.
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
