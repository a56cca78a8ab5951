//! The latest of what happens often: an entry is added without a lock, and pushes the oldest out.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crossbeam::queue::ArrayQueue;

/// The latest entries, at most as many as it was made for.
#[derive(Debug)]
pub struct Latest<T> {
    /// Entries that no reader has seen.
    new: ArrayQueue<T>,
    /// Those that readers have seen; only readers take this lock.
    seen: Mutex<VecDeque<T>>,
}

impl<T: Clone> Latest<T> {
    /// Keeps this many entries, at least 1.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { new: ArrayQueue::new(capacity.max(1)), seen: Mutex::default() }
    }

    /// Adds an entry.
    pub fn push(&self, entry: T) {
        self.new.force_push(entry);
    }

    /// The entries, the latest first.
    pub fn list(&self) -> Vec<T> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // At most as many as there is room for: others may add entries all the time.
        for entry in (0..self.new.capacity()).map_while(|_| self.new.pop()) {
            seen.push_front(entry);
        }
        seen.truncate(self.new.capacity());
        seen.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_read_again() {
        let latest = Latest::new(3);
        assert!(latest.list().is_empty());
        (1..=2).for_each(|entry| latest.push(entry));
        assert_eq!(latest.list(), [2, 1]);
        (3..=4).for_each(|entry| latest.push(entry));
        assert_eq!(latest.list(), [4, 3, 2]);
        (5..=10).for_each(|entry| latest.push(entry));
        assert_eq!(latest.list(), [10, 9, 8]);
        assert_eq!(latest.list(), [10, 9, 8]);
    }
}
