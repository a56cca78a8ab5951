//! The records that wait for the thread of one target.
//!
//! Who logs never waits. A record that peers cause with every request (denials, matches, level debug) has one lane, all
//! others (crashes, restarts, reloads, warnings, which are limited where they arise) have a lane of their own, so that no
//! flood of the first kind takes the place of the second. Both leave in the order in which they came.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slog::Level;

use super::record::Entry;

/// The most records that may wait in each lane. As many again may be in the hands of the target's thread.
const LANE: usize = 4096;

/// The events that every request may cause.
const TRAFFIC: [&str; 7] = [
    "request_denied",
    "response_denied",
    "request_would_be_denied",
    "response_would_be_denied",
    "rule_matched",
    "rules_matched",
    "more_rules_matched",
];

/// Which records do not take each other's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// What peers cause with every request.
    Traffic,
    /// Everything else.
    Vital,
}

impl Lane {
    /// The lane of an event.
    pub(super) fn of(level: Level, event: &str) -> Self {
        match level == Level::Debug || TRAFFIC.contains(&event) {
            true => Self::Traffic,
            false => Self::Vital,
        }
    }
}

/// Records of one target since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Written.
    pub(crate) written: AtomicU64,
    /// Left out by `--log-limit`.
    pub(crate) limited: AtomicU64,
    /// Dropped because more was logged than the target took.
    pub(crate) dropped: AtomicU64,
    /// Lost because they could not be written.
    pub(crate) lost: AtomicU64,
}

/// What a target's thread has to do.
pub(super) enum Item {
    /// Write this.
    Entry(Arc<Entry>),
    /// Open the file anew.
    Reopen,
}

/// What has gathered for a target's thread.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) items: VecDeque<Item>,
    /// Records that found no place since the last batch.
    pub(super) dropped: u64,
    /// Records of the last second that were above the limit.
    pub(super) limited: u64,
    /// Nothing comes any more.
    pub(super) is_last: bool,
}

impl State {
    /// Begins another second.
    fn turn(&mut self, second: u64) {
        if self.second != second {
            self.second = second;
            self.admitted = 0;
            self.limited_before += std::mem::take(&mut self.limited);
        }
    }
}

/// The queue of one target.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    start: Instant,
    limit: Option<u32>,
    pub(super) counts: Counts,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Records that wait in each lane.
    traffic: usize,
    vital: usize,
    dropped: u64,
    /// The second that `admitted` and `limited` are of.
    second: u64,
    admitted: u32,
    limited: u64,
    /// Records above the limit in earlier seconds that no batch has told of.
    limited_before: u64,
    is_closed: bool,
}

impl Queue {
    /// An empty queue that takes `limit` records of traffic a second.
    pub(super) fn new(limit: Option<u32>) -> Self {
        let state = Mutex::default();
        Self { state, changed: Condvar::new(), start: Instant::now(), limit, counts: Counts::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn second(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    /// Whether a record of this lane is taken, which is counted. To be asked before the record is made.
    pub(super) fn admits(&self, lane: Lane) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        if let (Lane::Traffic, Some(limit)) = (lane, self.limit) {
            state.turn(self.second());
            if state.admitted < limit {
                state.admitted += 1;
            } else {
                state.limited += 1;
                self.counts.limited.fetch_add(1, Ordering::Relaxed);
                if state.limited == 1 {
                    self.changed.notify_one();
                }
                return false;
            }
        }
        let waiting = if lane == Lane::Traffic { state.traffic } else { state.vital };
        if waiting >= LANE {
            state.dropped += 1;
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting < LANE
    }

    /// Adds a record that was admitted.
    pub(super) fn push(&self, lane: Lane, entry: Arc<Entry>) {
        let mut state = self.lock();
        match lane {
            Lane::Traffic => state.traffic += 1,
            Lane::Vital => state.vital += 1,
        }
        state.items.push_back(Item::Entry(entry));
        self.changed.notify_one();
    }

    /// Has the target's file opened anew, behind all records that wait.
    pub(super) fn reopen(&self) {
        self.lock().items.push_back(Item::Reopen);
        self.changed.notify_one();
    }

    /// Takes no more records.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits until there is something to do, or `patience` is over, and takes it.
    pub(super) fn take(&self, patience: Option<Duration>) -> Batch {
        let mut state = self.lock();
        let until = patience.map(|patience| Instant::now() + patience);
        loop {
            let second = if state.is_closed { u64::MAX } else { self.second() };
            state.turn(second);
            let is_over = state.limited_before > 0;
            let now = Instant::now();
            let is_due = until.is_some_and(|until| until <= now);
            if is_over || is_due || state.is_closed || state.dropped > 0 || !state.items.is_empty() {
                (state.traffic, state.vital) = (0, 0);
                return Batch {
                    items: std::mem::take(&mut state.items),
                    dropped: std::mem::take(&mut state.dropped),
                    limited: std::mem::take(&mut state.limited_before),
                    is_last: state.is_closed,
                };
            }
            let next_second = (state.limited > 0)
                .then(|| self.start + Duration::from_secs(self.second() + 1))
                .into_iter()
                .chain(until)
                .min();
            state = match next_second {
                Some(wake) => {
                    let left = wake.saturating_duration_since(now);
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use slog::{OwnedKVList, Record, b, o, record_static};

    use super::*;

    fn log(queue: &Queue, level: Level, event: &str) {
        let lane = Lane::of(level, event);
        if queue.admits(lane) {
            let text = format_args!("{event}");
            let level = record_static!(level, event);
            let entry = Entry::of(&Record::new(&level, &text, b!()), &OwnedKVList::from(o!()));
            queue.push(lane, Arc::new(entry));
        }
    }

    fn events(batch: &Batch) -> Vec<&str> {
        let events = batch.items.iter().filter_map(|item| match item {
            Item::Entry(entry) => Some(entry.event.as_str()),
            Item::Reopen => None,
        });
        events.collect()
    }

    #[test]
    fn a_flood_of_denials_takes_no_place_of_a_crash() {
        let queue = Queue::new(None);
        for _ in 0..3 * LANE {
            log(&queue, Level::Info, "request_denied");
        }
        log(&queue, Level::Error, "worker_crashed");
        log(&queue, Level::Debug, "link_open");
        let batch = queue.take(None);
        assert_eq!((batch.items.len(), batch.dropped), (LANE + 1, 2 * LANE as u64 + 1));
        assert_eq!(events(&batch).last(), Some(&"worker_crashed"));
        log(&queue, Level::Info, "request_denied");
        assert_eq!(queue.take(None).items.len(), 1, "there is room again");
    }

    #[test]
    fn what_is_above_the_limit_is_counted() {
        let queue = Queue::new(Some(10));
        for _ in 0..30 {
            log(&queue, Level::Info, "rule_matched");
            log(&queue, Level::Warning, "worker_restarted");
        }
        // The seconds may turn while this runs: then there is another count.
        let (mut matches, mut limited, mut restarts) = (0, 0, 0);
        while matches + limited < 30 {
            let batch = queue.take(None);
            let events = events(&batch);
            restarts += events.iter().filter(|event| **event == "worker_restarted").count();
            matches += events.iter().filter(|event| **event == "rule_matched").count() as u64;
            limited += batch.limited;
        }
        assert_eq!((matches + limited, restarts), (30, 30));
        assert!(limited >= 1 && limited == queue.counts.limited.load(Ordering::Relaxed), "{limited}");
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_the_rest() {
        let queue = Queue::new(Some(1));
        log(&queue, Level::Info, "rule_matched");
        log(&queue, Level::Info, "rule_matched");
        queue.close();
        log(&queue, Level::Error, "panic");
        let batch = queue.take(None);
        assert!(batch.is_last);
        assert_eq!(batch.items.len() as u64 + batch.limited, 2);
    }
}
