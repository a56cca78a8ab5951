//! Transaction identifiers of the agent's own.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes identifiers that nobody can guess: 32 hexadecimal digits, each half a keyed hash (SipHash, keys from the
/// system's random source) of a counter.
///
/// A client cannot choose or repeat one, as it may with a unique-id that HAProxy takes from a header.
#[derive(Debug, Default)]
pub struct IdSource {
    halves: [RandomState; 2],
    counter: AtomicU64,
}

impl IdSource {
    /// The next identifier.
    pub fn next(&self) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let [high, low] = &self.halves;
        format!("{:016x}{:016x}", high.hash_one(count), low.hash_one(!count))
    }
}
