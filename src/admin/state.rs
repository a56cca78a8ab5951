//! What the answers are made from. The daemon fills it in while it starts and reloads.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use actors::Observer;
use actors::stats::Counter;

use super::history::History;
use crate::agent::ModSecurityAgent;
use crate::logging::Logs;

/// The time after which the thread that serves HAProxy counts as stuck: it looks after its timers once a second.
const STUCK: Duration = Duration::from_secs(30);

/// The parts of the program that the answers describe.
pub(crate) struct AdminState {
    /// When the program started.
    pub(super) started: SystemTime,
    /// The engine and its version.
    pub(super) engine: String,
    /// The log, whose losses are counted.
    pub(super) logs: Logs,
    running: OnceLock<Running>,
    /// Reloads that succeeded.
    pub(super) reloads: Counter,
    /// Reloads that failed.
    pub(super) failed_reloads: Counter,
    rules: Mutex<Rules>,
    /// The last hour.
    pub(super) history: History,
}

/// The tree, and the agent above it.
pub(super) struct Running {
    pub(super) tree: Observer,
    pub(super) agent: Arc<ModSecurityAgent>,
}

/// The rules in use, and how they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// Rules in all sets together.
    pub(super) count: usize,
    /// When they were loaded.
    pub(super) loaded: Option<SystemTime>,
    /// How long the last reload took, whether it succeeded or not.
    pub(super) reload_time: Option<Duration>,
    /// Why the last reload failed; `None` when it did not.
    pub(super) failure: Option<(SystemTime, String)>,
}

impl AdminState {
    /// For this engine; nothing runs yet.
    pub(crate) fn new(engine: String, logs: Logs) -> Self {
        Self {
            started: SystemTime::now(),
            engine,
            logs,
            running: OnceLock::new(),
            reloads: Counter::default(),
            failed_reloads: Counter::default(),
            rules: Mutex::default(),
            history: History::default(),
        }
    }

    /// The rules are loaded, and the tree starts.
    pub(crate) fn runs(&self, tree: Observer, agent: Arc<ModSecurityAgent>, rules: usize) {
        self.rules(|known| (known.count, known.loaded) = (rules, Some(SystemTime::now())));
        // There is one tree in the life of a process.
        let _ = self.running.set(Running { tree, agent });
        // So that the charts begin with the first message.
        self.history.add(self);
    }

    /// Counts a reload that took this time: the number of rules that are used from now on, or why those before stay.
    pub(crate) fn reloaded(&self, time: Duration, outcome: Result<usize, String>) {
        let now = SystemTime::now();
        self.rules(|known| {
            known.reload_time = Some(time);
            match outcome {
                Ok(rules) => {
                    (known.count, known.loaded, known.failure) = (rules, Some(now), None);
                    self.reloads.increment();
                }
                Err(cause) => {
                    known.failure = Some((now, cause));
                    self.failed_reloads.increment();
                }
            }
        });
    }

    fn rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The rules in use.
    pub(super) fn rules_in_use(&self) -> Rules {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The tree and the agent, once the rules are loaded.
    pub(super) fn running(&self) -> Option<&Running> {
        self.running.get()
    }

    /// Whether the thread that serves HAProxy does its work, as far as it has any.
    pub(super) fn is_live(&self) -> bool {
        self.running().is_none_or(|running| running.tree.silence() < STUCK)
    }

    /// Whether requests are inspected; why not otherwise.
    pub(super) fn readiness(&self) -> Result<(), &'static str> {
        let tree = &self.running().ok_or("starting: the rules are not loaded yet")?.tree;
        if !tree.is_listening() {
            return Err("no links are accepted: the agent starts or stops");
        }
        tree.is_healthy().then_some(()).ok_or("no engine runs, or engines die of every request")
    }
}
