//! Quarantine: a request that has killed two engines gets no third.
//!
//! The list of such requests is bounded, and entries expire. An attacker can fill it only with requests that do kill
//! engines; the oldest entries are dropped for the new ones.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The number of engines that a request may kill.
const TOLERATED: u32 = 2;

/// The most fingerprints in the list.
const CAPACITY: usize = 1024;

/// How long a fingerprint stays in the list after its last kill.
const MEMORY: Duration = Duration::from_secs(600);

/// The list, shared by Connections and workers.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    suspects: Mutex<HashMap<u64, Suspect>>,
    /// Length of the map: while it is empty, no fingerprint is computed and the lock is not taken.
    len: AtomicUsize,
}

#[derive(Debug)]
struct Suspect {
    killed: u32,
    last: Instant,
}

impl Quarantine {
    /// Whether the request with this fingerprint is in quarantine.
    pub(crate) fn holds(&self, fingerprint: impl FnOnce() -> u64, now: Instant) -> bool {
        if self.len.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let Ok(mut suspects) = self.suspects.lock() else { return false };
        let fingerprint = fingerprint();
        let holds = suspects.get(&fingerprint).is_some_and(|suspect| {
            suspect.killed >= TOLERATED && now.saturating_duration_since(suspect.last) < MEMORY
        });
        if !holds {
            suspects.retain(|_, suspect| now.saturating_duration_since(suspect.last) < MEMORY);
            self.len.store(suspects.len(), Ordering::Relaxed);
        }
        holds
    }

    /// Counts that the request with this fingerprint killed an engine. Returns whether its quarantine begins now.
    pub(crate) fn killed(&self, fingerprint: u64, now: Instant) -> bool {
        let Ok(mut suspects) = self.suspects.lock() else { return false };
        if suspects.len() >= CAPACITY && !suspects.contains_key(&fingerprint) {
            let oldest = suspects.iter().min_by_key(|(_, suspect)| suspect.last).map(|(key, _)| *key);
            oldest.map(|oldest| suspects.remove(&oldest));
        }
        let suspect = suspects.entry(fingerprint).or_insert(Suspect { killed: 0, last: now });
        suspect.killed += 1;
        suspect.last = now;
        let held = suspect.killed == TOLERATED;
        self.len.store(suspects.len(), Ordering::Relaxed);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_kill_holds_until_it_is_forgotten() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        assert!(!quarantine.holds(|| 1, now));
        assert!(!quarantine.killed(1, now));
        assert!(!quarantine.holds(|| 1, now));
        assert!(quarantine.killed(1, now));
        assert!(quarantine.holds(|| 1, now) && !quarantine.holds(|| 2, now));
        assert!(!quarantine.holds(|| 1, now + MEMORY));
    }

    #[test]
    fn the_list_is_bounded_and_loses_the_oldest() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        for round in 0..2 {
            for request in 0..CAPACITY as u64 {
                quarantine.killed(request, now + Duration::from_millis(round * 5000 + request));
            }
        }
        quarantine.killed(u64::MAX, now + Duration::from_secs(20));
        assert!(!quarantine.holds(|| 0, now) && quarantine.holds(|| 1, now));
        assert_eq!(quarantine.suspects.lock().unwrap().len(), CAPACITY);
    }
}
