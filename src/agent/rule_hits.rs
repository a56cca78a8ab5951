//! How often each rule has matched, without a lock: a table of fixed size, in which each rule takes the first free place.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The most rules that are counted by their ids. The Core Rule Set has about 600; what else matches is counted together, so
/// that a monitoring system never has more time series than these.
const CAPACITY: usize = 1024;

/// No rule has this id.
const FREE: i64 = i64::MIN;

/// The table.
#[derive(Debug)]
pub struct RuleHits {
    places: Box<[(AtomicI64, AtomicU64)]>,
    /// Matches of rules that found no place.
    others: AtomicU64,
}

impl Default for RuleHits {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl RuleHits {
    fn with_capacity(capacity: usize) -> Self {
        let places = (0..capacity).map(|_| (AtomicI64::new(FREE), AtomicU64::new(0)));
        Self { places: places.collect(), others: AtomicU64::new(0) }
    }

    /// Counts a match of this rule.
    pub(super) fn count(&self, rule: i64) {
        let start = (rule.unsigned_abs() as usize).wrapping_mul(0x9E37_79B9) % self.places.len().max(1);
        let (before, after) = self.places.split_at(start);
        for (id, hits) in after.iter().chain(before) {
            let found = match id.load(Ordering::Relaxed) {
                FREE => id
                    .compare_exchange(FREE, rule, Ordering::Relaxed, Ordering::Relaxed)
                    .map_or_else(|other| other, |_| rule),
                found => found,
            };
            if found == rule {
                hits.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// The rules that have matched, in the order of their ids, each with the number of its matches.
    #[must_use]
    pub fn get(&self) -> Vec<(i64, u64)> {
        let read =
            |(id, hits): &(AtomicI64, AtomicU64)| (id.load(Ordering::Relaxed), hits.load(Ordering::Relaxed));
        let mut hits: Vec<_> = self.places.iter().map(read).filter(|(id, _)| *id != FREE).collect();
        hits.sort_unstable();
        hits
    }

    /// The matches of rules that are not counted by their ids.
    pub fn others(&self) -> u64 {
        self.others.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_counts_and_what_is_too_much_counts_together() {
        let hits = RuleHits::with_capacity(4);
        for rule in [942_100, 0, -1, 942_100, 7, 8, 9, 7] {
            hits.count(rule);
        }
        assert_eq!(hits.get(), [(-1, 1), (0, 1), (7, 2), (942_100, 2)]);
        assert_eq!(hits.others(), 2);
    }

    #[test]
    fn threads_that_count_the_same_rules_lose_none() {
        let hits = RuleHits::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..3000).for_each(|number| hits.count(number % 300)));
            }
        });
        assert_eq!(hits.get(), (0..300).map(|rule| (rule, 40)).collect::<Vec<_>>());
    }
}
