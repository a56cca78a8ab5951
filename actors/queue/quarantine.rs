//! Quarantine: a request that has been seen to kill its engine twice gets no third for a while.
//!
//! An innocent request in the list would be one that nobody inspects, chosen by whoever put it there. So nothing is held by
//! one death, which may be the late damage of an earlier request: the first makes a request a suspect, and a suspect is tried
//! in an engine that has inspected nothing before. What kills that engine is guilty, and is held: for [`FIRST_HOLD`], and
//! twice as long after each further death. A verdict acquits.
//!
//! The list is bounded. A new suspect takes the place of the suspect that died longest ago, and only when there is none that
//! of the request with the shortest hold: with single deaths nobody gets a guilty one out of the list.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most fingerprints in the list.
const CAPACITY: usize = 1024;

/// How long a request is held that has killed an engine of its own for the first time.
const FIRST_HOLD: Duration = Duration::from_secs(5);

/// The longest hold.
const LONGEST_HOLD: Duration = Duration::from_secs(600);

/// How long a fingerprint is remembered after its last death, or after its hold.
const MEMORY: Duration = Duration::from_secs(600);

/// The list, shared by Connections, workers, and Root.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    entries: Mutex<HashMap<u64, Entry>>,
    /// Length of the map: while it is empty, no fingerprint is computed and the lock is not taken.
    len: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The length of the last hold; zero for a suspect.
    hold: Duration,
    /// The end of the last hold; for a suspect the time of its last death.
    until: Instant,
}

impl Entry {
    /// Whether no engine gets the request at `now`. A suspect is never held, also where `now` was read before its death.
    fn holds(&self, now: Instant) -> bool {
        !self.hold.is_zero() && now < self.until
    }
}

/// What the list says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    Clear,
    /// An engine died while it inspected such a request: the next engine that does so should have inspected nothing before.
    Suspect,
    /// No engine gets it now.
    Held,
}

impl Quarantine {
    /// The standing of the request with this fingerprint.
    pub(crate) fn standing(&self, fingerprint: impl FnOnce() -> u64, now: Instant) -> Standing {
        if self.len.load(Ordering::Relaxed) == 0 {
            return Standing::Clear;
        }
        let fingerprint = fingerprint();
        self.change(|entries| match entries.get(&fingerprint) {
            None => Standing::Clear,
            Some(entry) if entry.holds(now) => Standing::Held,
            Some(_) => Standing::Suspect,
        })
    }

    /// Makes the request with this fingerprint a suspect. Returns whether it is new in the list.
    pub(crate) fn suspect(&self, fingerprint: u64, now: Instant) -> bool {
        if self.change(|entries| entries.contains_key(&fingerprint)) {
            return false;
        }
        self.blame(fingerprint, false, now);
        true
    }

    /// Records that an engine died while it inspected the request with this fingerprint. `is_proof`: the death cannot be the
    /// late damage of another request. Returns the length of the hold that begins now.
    pub(crate) fn blame(&self, fingerprint: u64, is_proof: bool, now: Instant) -> Option<Duration> {
        self.change(|entries| {
            let Some(entry) = entries.get_mut(&fingerprint) else {
                if entries.len() >= CAPACITY {
                    let first = entries.iter().min_by_key(|(_, entry)| (entry.hold, entry.until));
                    first.map(|(&first, _)| first).map(|first| entries.remove(&first));
                }
                entries.insert(fingerprint, Entry { hold: Duration::ZERO, until: now });
                return None;
            };
            // Engines that had begun with it before are one death with that which began the hold.
            if entry.holds(now) {
                return None;
            }
            if is_proof {
                entry.hold = (entry.hold * 2).clamp(FIRST_HOLD, LONGEST_HOLD);
                entry.until = now + entry.hold;
                return Some(entry.hold);
            }
            if entry.hold.is_zero() {
                entry.until = now;
            }
            None
        })
    }

    /// Takes the request with this fingerprint from the list: an engine has a verdict on it.
    pub(crate) fn acquit(&self, fingerprint: impl FnOnce() -> u64) {
        if self.len.load(Ordering::Relaxed) > 0 {
            let fingerprint = fingerprint();
            self.change(|entries| entries.remove(&fingerprint));
        }
    }

    /// Drops what is too old, so that the list becomes empty again. Walks through all of it: to be called about once a second.
    pub(crate) fn forget(&self, now: Instant) {
        if self.len.load(Ordering::Relaxed) > 0 {
            self.change(|entries| entries.retain(|_, entry| now < entry.until + MEMORY));
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<u64, Entry>) -> T) -> T {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut entries);
        self.len.store(entries.len(), Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_suspect_that_kills_an_engine_of_its_own_is_held_for_seconds_and_then_twice_as_long() {
        let (quarantine, mut now) = (Quarantine::default(), Instant::now());
        assert_eq!(quarantine.standing(|| panic!("the list is empty"), now), Standing::Clear);
        assert_eq!(quarantine.blame(1, true, now), None);
        assert_eq!(quarantine.standing(|| 1, now), Standing::Suspect);
        let mut holds = Vec::new();
        for _ in 0..9 {
            let hold = quarantine.blame(1, true, now).unwrap();
            holds.push(hold.as_secs());
            assert_eq!(quarantine.blame(1, true, now + SECOND), None, "it is held already");
            assert_eq!(quarantine.standing(|| 1, now + hold - SECOND), Standing::Held);
            assert_eq!(quarantine.standing(|| 2, now), Standing::Clear);
            now += hold;
            assert_eq!(quarantine.standing(|| 1, now), Standing::Suspect);
        }
        assert_eq!(holds, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    }

    #[test]
    fn a_suspect_is_not_held_by_whoever_read_the_clock_before_its_death() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        quarantine.suspect(1, now + SECOND);
        assert_eq!(quarantine.standing(|| 1, now), Standing::Suspect);
        assert_eq!(quarantine.blame(1, true, now), Some(FIRST_HOLD));
    }

    #[test]
    fn deaths_that_another_request_may_have_caused_hold_nobody() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(quarantine.blame(1, false, now), None);
        }
        assert_eq!(quarantine.standing(|| 1, now), Standing::Suspect);
        quarantine.blame(1, false, now + MEMORY / 2);
        quarantine.forget(now + MEMORY);
        assert_eq!(quarantine.standing(|| 1, now + MEMORY), Standing::Suspect, "the last death counts");
    }

    #[test]
    fn a_verdict_acquits() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        quarantine.blame(1, true, now);
        quarantine.acquit(|| 1);
        assert_eq!(quarantine.blame(1, true, now), None, "the first death again");
        assert_eq!(quarantine.blame(1, true, now), Some(FIRST_HOLD));
        quarantine.acquit(|| 2);
        assert_eq!(quarantine.standing(|| 1, now), Standing::Held);
        quarantine.acquit(|| 1);
        assert_eq!(quarantine.standing(|| panic!("the list is empty"), now), Standing::Clear);
        quarantine.acquit(|| panic!("the list is empty"));
    }

    #[test]
    fn the_list_empties_by_itself() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        quarantine.blame(1, true, now);
        quarantine.blame(2, true, now);
        quarantine.blame(2, true, now);
        quarantine.forget(now + MEMORY - SECOND);
        assert_eq!(quarantine.standing(|| 1, now + MEMORY), Standing::Suspect);
        quarantine.forget(now + MEMORY);
        assert_eq!(quarantine.standing(|| 1, now + MEMORY), Standing::Clear);
        assert_eq!(quarantine.standing(|| 2, now + MEMORY), Standing::Suspect);
        quarantine.forget(now + FIRST_HOLD + MEMORY);
        assert_eq!(quarantine.standing(|| panic!("the list is empty"), now), Standing::Clear);
    }

    #[test]
    fn the_list_is_bounded_and_single_deaths_push_out_none_that_is_held() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        for guilty in 0..10 {
            quarantine.blame(guilty, true, now);
            quarantine.blame(guilty, true, now);
        }
        // When the holds are over, so that those that were held died before all others.
        let later = |suspect: u32| now + FIRST_HOLD + Duration::from_millis(suspect.into());
        for suspect in 10..5000 {
            quarantine.blame(suspect.into(), true, later(suspect));
        }
        assert_eq!(quarantine.entries.lock().unwrap().len(), CAPACITY);
        let standing = |fingerprint| quarantine.standing(|| fingerprint, later(5000));
        assert!((0..10).all(|guilty| standing(guilty) == Standing::Suspect), "remembered");
        assert_eq!((standing(10), standing(3985)), (Standing::Clear, Standing::Clear), "the oldest are gone");
        assert_eq!((standing(3986), standing(4999)), (Standing::Suspect, Standing::Suspect));
        for guilty in 5000..5000 + CAPACITY as u64 {
            quarantine.blame(guilty, true, later(5000));
            quarantine.blame(guilty, true, later(5000));
        }
        quarantine.blame(u64::MAX, true, later(5000));
        assert_eq!(quarantine.entries.lock().unwrap().len(), CAPACITY, "also when all are guilty");
    }
}
