//! The state of the tree's actors, for whoever wants to look at it: each actor writes its own, and a reader gets a copy.
//!
//! Workers and Connections change atomic numbers. A lock is taken when a link opens or closes, and by readers; none is taken
//! on the way of a request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::latest::Latest;
use crate::stats::{Counter, EndCause};

/// Crashes that are remembered.
const CRASHES: usize = 20;

/// What a Worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Its engine starts.
    Starting,
    /// It waits for a request.
    Idle,
    /// Its engine has a request.
    Busy,
    /// It crashed, and waits to be restarted.
    Waiting,
    /// It was told to stop.
    Stopped,
}

impl WorkerState {
    /// All states, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Idle, Self::Busy, Self::Waiting, Self::Stopped];

    /// The name of the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
        }
    }
}

/// A Worker at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    /// From 1 to the size of the pool.
    pub number: usize,
    /// What it does.
    pub state: WorkerState,
    /// 1 for its first thread, one more after each restart.
    pub generation: u64,
    /// Requests that its engines have had.
    pub requests: u64,
    /// How long the engine has had the current request.
    pub busy_for: Option<Duration>,
}

/// A link at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// The name of the peer, as the log has it.
    pub peer: String,
    /// How long the link has been open.
    pub age: Duration,
    /// Messages that have come on it.
    pub messages: u64,
    /// Messages that have no answer yet.
    pub unanswered: u64,
}

/// The end of a worker that was not told to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When.
    pub at: SystemTime,
    /// The number of the worker.
    pub worker: usize,
    /// Its generation.
    pub generation: u64,
    /// In one word.
    pub cause: EndCause,
    /// In the words of the log.
    pub reason: String,
    /// The request that was lost with it, as the log names it.
    pub request: Option<String>,
}

/// The tree at one moment.
#[derive(Clone, Debug)]
pub struct TreeStatus {
    /// The addresses of the Listeners.
    pub listeners: Vec<String>,
    /// The links, the oldest first.
    pub links: Vec<LinkStatus>,
    /// The Workers, in the order of their numbers.
    pub workers: Vec<WorkerStatus>,
    /// Requests that wait for a worker.
    pub queue: usize,
    /// The most requests that may wait.
    pub queue_limit: usize,
    /// Engines run, and do not die of every request.
    pub is_healthy: bool,
    /// The latest crashes, the latest first.
    pub crashes: Vec<Crash>,
}

/// What the actors write.
#[derive(Debug)]
pub(crate) struct Board {
    start: Instant,
    workers: Box<[WorkerCell]>,
    listeners: Mutex<Vec<String>>,
    links: Mutex<BTreeMap<u64, Arc<LinkCell>>>,
    next_link: AtomicU64,
    has_listeners: AtomicBool,
    /// The last sign of life of the tree's thread, in milliseconds since the start of the board.
    beat: AtomicU64,
    crashes: Latest<Crash>,
}

/// What one Worker writes. Each has cache lines of its own, as each is changed by a thread of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerCell {
    state: AtomicU8,
    generation: AtomicU64,
    requests: Counter,
    /// When the engine got the current request, in microseconds since the start of the board, and 1; 0 without a request.
    since: AtomicU64,
}

/// What one Connection writes.
#[derive(Debug)]
pub(crate) struct LinkCell {
    peer: String,
    opened: Instant,
    pub(crate) messages: Counter,
    pub(crate) answers: Counter,
}

/// The entry of one link, which goes when this is dropped.
pub(crate) struct LinkEntry {
    pub(crate) cell: Arc<LinkCell>,
    number: u64,
    board: Arc<Board>,
}

impl Drop for LinkEntry {
    fn drop(&mut self) {
        self.board.links.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl Board {
    /// For a tree with so many Workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            start: Instant::now(),
            workers: (0..workers).map(|_| WorkerCell::default()).collect(),
            listeners: Mutex::default(),
            links: Mutex::default(),
            next_link: AtomicU64::new(0),
            has_listeners: AtomicBool::new(false),
            beat: AtomicU64::new(0),
            crashes: Latest::new(CRASHES),
        }
    }

    /// Sets the addresses of the Listeners; none when they are closed.
    pub(crate) fn set_listeners(&self, addresses: Vec<String>) {
        self.has_listeners.store(!addresses.is_empty(), Ordering::Relaxed);
        *self.listeners.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Whether links are accepted.
    pub(crate) fn is_listening(&self) -> bool {
        self.has_listeners.load(Ordering::Relaxed)
    }

    /// Notes that the tree's thread does its work.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat.store(now, Ordering::Relaxed);
    }

    /// The time since the last beat.
    pub(crate) fn silence(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }

    /// Adds a link.
    pub(crate) fn link(self: &Arc<Self>, peer: &str) -> LinkEntry {
        let number = self.next_link.fetch_add(1, Ordering::Relaxed);
        let cell = Arc::new(LinkCell {
            peer: peer.to_owned(),
            opened: Instant::now(),
            messages: Counter::default(),
            answers: Counter::default(),
        });
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.insert(number, Arc::clone(&cell));
        LinkEntry { cell, number, board: Arc::clone(self) }
    }

    /// Sets the state of the Worker with this number, and its generation if that is new.
    pub(crate) fn set_state(&self, worker: usize, state: WorkerState, generation: Option<u64>) {
        if let Some(cell) = worker.checked_sub(1).and_then(|index| self.workers.get(index)) {
            cell.since.store(0, Ordering::Relaxed);
            cell.state.store(state as u8, Ordering::Relaxed);
            generation
                .into_iter()
                .for_each(|generation| cell.generation.store(generation, Ordering::Relaxed));
        }
    }

    /// Notes that the engine of this Worker has begun with a request.
    pub(crate) fn begin(&self, worker: usize, now: Instant) {
        if let Some(cell) = worker.checked_sub(1).and_then(|index| self.workers.get(index)) {
            let since = now.saturating_duration_since(self.start).as_micros();
            cell.since.store(u64::try_from(since).unwrap_or(u64::MAX - 1) + 1, Ordering::Relaxed);
            cell.state.store(WorkerState::Busy as u8, Ordering::Relaxed);
            cell.requests.increment();
        }
    }

    /// Adds a crash.
    pub(crate) fn crashed(&self, crash: Crash) {
        self.crashes.push(crash);
    }

    /// The number of open links.
    pub(crate) fn links(&self) -> usize {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A copy of all.
    pub(crate) fn get(&self, queue: usize, queue_limit: usize, is_healthy: bool) -> TreeStatus {
        let links: Vec<_> =
            self.links.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let link = |cell: Arc<LinkCell>| {
            let (answers, messages) = (cell.answers.get(), cell.messages.get());
            let unanswered = messages.saturating_sub(answers);
            LinkStatus { peer: cell.peer.clone(), age: cell.opened.elapsed(), messages, unanswered }
        };
        TreeStatus {
            listeners: self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            links: links.into_iter().map(link).collect(),
            workers: self.workers(),
            queue,
            queue_limit,
            is_healthy,
            crashes: self.crashes.list(),
        }
    }

    /// A copy of the Workers.
    pub(crate) fn workers(&self) -> Vec<WorkerStatus> {
        let now = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let worker = |(index, cell): (usize, &WorkerCell)| {
            let state = WorkerState::ALL.get(usize::from(cell.state.load(Ordering::Relaxed)));
            let since = cell.since.load(Ordering::Relaxed);
            WorkerStatus {
                number: index + 1,
                state: state.copied().unwrap_or(WorkerState::Starting),
                generation: cell.generation.load(Ordering::Relaxed),
                requests: cell.requests.get(),
                busy_for: (since > 0).then(|| Duration::from_micros(now.saturating_sub(since - 1))),
            }
        };
        self.workers.iter().enumerate().map(worker).collect()
    }
}
