//! One engine of a worker with the count of its requests, and what all workers share to start engines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use actors::{Engine, EngineError, StartError};
use slog::Logger;

use super::AgentSettings;
use super::policy::Applications;
use crate::isolation::{AnyEngine, Isolation};
use crate::message::HttpMessage;
use crate::message::id::Ticket;
use crate::message::verdict::Verdict;

/// The rules that engines start with from now on.
struct Current {
    /// Their number: 1 at the start, one more after each reload.
    number: u64,
    /// Where engines with these rules run.
    isolation: Isolation,
    /// The applications that have rules among them.
    applications: Applications,
}

/// What all workers share: where engines are started, the operator's settings, and the numbers of engines.
pub(super) struct Shared {
    current: RwLock<Current>,
    pub(super) settings: AgentSettings,
    /// Engines started so far, by all workers.
    engines: AtomicU64,
    /// Threads that wait for the ends of engines.
    retiring: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub(super) fn new(isolation: Isolation, applications: Applications, settings: AgentSettings) -> Self {
        Self {
            current: RwLock::new(Current { number: 1, isolation, applications }),
            settings,
            engines: AtomicU64::new(0),
            retiring: Mutex::default(),
        }
    }

    /// The place where engines with the current rules run, and the applications that have rules there.
    pub(super) fn current(&self) -> (Isolation, Applications) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.isolation.clone(), current.applications.clone())
    }

    /// Whether a message that names this application names one without rules of its own, though others have some.
    pub(super) fn is_unknown(&self, application: Option<&[u8]>) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        !current.applications.is_empty() && !current.applications.knows(application)
    }

    /// Engines that start from now on run at `isolation`, with rules for these applications. Returns the number of the new
    /// rules; the first are 1.
    pub(super) fn replace(&self, isolation: Isolation, applications: Applications) -> u64 {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current { number: current.number + 1, isolation, applications };
        current.number
    }

    /// Lets an engine finish its parked transactions and end. No worker waits for that: with the last engine of a
    /// zygote it takes as long as the logging phases of all its transactions.
    pub(super) fn retire(&self, generation: Generation) {
        let end = thread::Builder::new().name("retiring".to_owned()).spawn(move || drop(generation));
        let mut retiring = self.retiring.lock().unwrap_or_else(PoisonError::into_inner);
        retiring.retain(|thread| !thread.is_finished());
        // A thread that cannot be started drops the engine here, and the worker waits.
        retiring.extend(end);
    }
}

impl Drop for Shared {
    /// Waits until the replaced engines have finished their transactions, so that these are in the audit log.
    fn drop(&mut self) {
        for thread in self.retiring.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // The panic hook has logged a panic of the thread.
            let _ = thread.join();
        }
    }
}

/// An engine, and the requests and parked transactions that it has had.
pub(super) struct Generation {
    /// The engine's number, which no other engine of this process has had: tickets name the engine by it.
    pub(super) number: u64,
    pub(super) engine: AnyEngine,
    /// The applications that have rules of their own in it.
    pub(super) applications: Applications,
    /// Requests that it has inspected.
    pub(super) requests: u64,
    /// Requests after which the worker recycles it.
    pub(super) max_requests: u64,
    /// Transactions that are parked in it, at most: some may have expired there.
    pub(super) parked: usize,
}

impl Generation {
    /// Starts an engine for the worker with this number, with the current rules.
    ///
    /// # Errors
    /// When the engine's process or thread cannot be started.
    pub(super) fn start(
        worker: usize,
        shared: &Shared,
        max_requests: u64,
        log: &Logger,
    ) -> Result<Self, StartError> {
        let (isolation, applications) = shared.current();
        let engine = AnyEngine::start(worker, &isolation, log)?;
        let number = shared.engines.fetch_add(1, Ordering::Relaxed);
        Ok(Self { number, engine, applications, requests: 0, max_requests, parked: 0 })
    }

    /// Lets the engine inspect `messages`, keeps count, and gives each parked transaction its ticket. Calls `outcome`
    /// as [`Engine::inspect`] does.
    pub(super) fn inspect(
        &mut self,
        worker: usize,
        messages: &[&HttpMessage],
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) {
        let (number, requests, parked) = (self.number, &mut self.requests, &mut self.parked);
        let mut counted = |place: usize, mut inspected: Result<Verdict, EngineError>| {
            let Some(message) = messages.get(place) else { return };
            let is_request = matches!(message, HttpMessage::Request(_));
            if is_request && inspected != Err(EngineError::NotBegun) {
                *requests += 1;
            }
            if let Ok(verdict) = &mut inspected {
                if !is_request && !verdict.has_no_request {
                    *parked = parked.saturating_sub(1);
                }
                if verdict.is_parked {
                    *parked += 1;
                    verdict.ticket = Some(Ticket { id: message.id().to_owned(), worker, generation: number });
                }
            }
            outcome(place, inspected);
        };
        self.engine.inspect(messages, &mut counted);
    }
}
