//! The engine of one worker, and the engine that it has replaced.
//!
//! A worker replaces its engine after a reload, and when the engine has inspected `--max-requests` requests. Parked
//! transactions cannot move to the new engine, so the old one stays until the last of them has its response or expires.
//! It gets no more requests. A worker keeps one such engine: the next reload lets the older one finish its transactions
//! (their logging phase) and end, or engines would pile up with the memory of all transactions.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{CauseOfEnd, Engine, EngineError, StartError};
use crossbeam::channel::Receiver;
use slog::{Logger, debug, warn};

use super::AgentSettings;
use super::generation::{Generation, Shared};
use super::policy::decide;
use crate::message::HttpMessage;
use crate::message::verdict::Verdict;

/// What a worker of the tree inspects messages with: its current engine, and the last one that it has replaced.
pub struct WorkerEngine {
    worker: usize,
    shared: Arc<Shared>,
    current: Generation,
    /// The replaced engine, with the time at which its last parked transaction expires.
    replaced: Option<(Generation, Instant)>,
    log: Logger,
}

impl WorkerEngine {
    /// Starts the engine of the worker with this number.
    ///
    /// # Errors
    /// When the engine's process or thread cannot be started.
    pub(super) fn start(worker: usize, shared: Arc<Shared>, log: &Logger) -> Result<Self, StartError> {
        let current = Generation::start(worker, &shared, shared.settings.recycling.first(worker), log)?;
        Ok(Self { worker, shared, current, replaced: None, log: log.clone() })
    }

    /// The replaced engine, if the transaction of this response is parked in it.
    fn replaced(&mut self, message: &HttpMessage) -> Option<&mut Generation> {
        let HttpMessage::Response(response) = message else { return None };
        let generation = response.ticket()?.generation;
        let (replaced, _) = self.replaced.as_mut()?;
        Some(replaced).filter(|replaced| replaced.number == generation)
    }

    /// Lets the replaced engine inspect a response whose transaction is parked in it; `None` when that is not so, or when
    /// that engine died before it began, and its transactions with it. If
    /// that engine dies of it, the worker goes on with its current engine.
    fn inspect_replaced(&mut self, message: &HttpMessage) -> Option<Result<Verdict, EngineError>> {
        let worker = self.worker;
        let replaced = self.replaced(message)?;
        let mut inspected = Err(EngineError::NotBegun);
        replaced.inspect(worker, &[message], &mut |_, outcome| inspected = outcome);
        match inspected {
            Err(EngineError::DeadBefore(_)) => {
                self.retire_replaced();
                None
            }
            Err(EngineError::Dead(failure)) => {
                self.retire_replaced();
                Some(Err(EngineError::Refused(failure)))
            }
            inspected => Some(inspected),
        }
    }

    /// Lets the replaced engine end.
    fn retire_replaced(&mut self) {
        if let Some((replaced, _)) = self.replaced.take() {
            self.shared.retire(replaced);
        }
    }

    /// Replaces the current engine by one that inspects `max_requests` requests.
    fn replace(&mut self, max_requests: u64) -> Result<(), StartError> {
        let current = Generation::start(self.worker, &self.shared, max_requests, &self.log)?;
        let replaced = std::mem::replace(&mut self.current, current);
        if replaced.parked > 0 {
            self.retire_replaced();
            self.replaced = Some((replaced, Instant::now() + self.shared.settings.responses.ttl));
        } else {
            self.shared.retire(replaced);
        }
        Ok(())
    }
}

impl Engine for WorkerEngine {
    type Request = HttpMessage;
    type Verdict = Verdict;

    fn inspect(
        &mut self,
        messages: &[&HttpMessage],
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) {
        let (mut places, mut together) = (Vec::new(), Vec::new());
        let shared = Arc::clone(&self.shared);
        let AgentSettings { unknown_application, truncated, .. } = shared.settings;
        for (place, &message) in messages.iter().enumerate() {
            // First, as the application of a response may have gone with the reload that replaced the engine.
            let decided = self.inspect_replaced(message);
            let decided = decided
                .or_else(|| decide(message, &self.current.applications, unknown_application, truncated));
            if let Some(decided) = decided {
                outcome(place, decided);
            } else {
                places.push(place);
                together.push(message);
            }
        }
        self.current.inspect(self.worker, &together, &mut |index, inspected| {
            if let Some(&place) = places.get(index) {
                outcome(place, inspected);
            }
        });
    }

    fn at_a_time(&self) -> usize {
        let left = self.current.max_requests.saturating_sub(self.current.requests);
        self.current.engine.at_a_time().min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    fn reload(&mut self) -> Result<(), StartError> {
        // A reload replaces the engines of all workers at once, so their limits are spread as at the start.
        self.replace(self.shared.settings.recycling.first(self.worker))
    }

    fn renew(&mut self) -> bool {
        // At most one renewed engine is kept for its responses, as in `recycle`.
        self.replaced.is_none() && self.replace(self.shared.settings.recycling.later()).is_ok()
    }

    fn recycle(&mut self) -> bool {
        // While the replaced engine waits for responses, the current one goes on: with many requests, the responses would
        // soon find neither.
        if self.current.requests < self.current.max_requests || self.replaced.is_some() {
            return false;
        }
        let requests = self.current.requests;
        let Some(process) = self.current.engine.pid() else { return false };
        match self.replace(self.shared.settings.recycling.later()) {
            Ok(()) => {
                debug!(self.log, # "engine_recycled", "engine recycled"; "process" => process, "requests" => requests);
                true
            }
            Err(error) => {
                self.current.max_requests = requests.saturating_add(self.shared.settings.recycling.later());
                warn!(self.log, # "engine_not_recycled", "engine cannot be recycled and goes on"; "process" => process, "requests" => requests,
                    "reason" => ?error.to_string(), "next_attempt_after_requests" => self.current.max_requests);
                false
            }
        }
    }

    fn housekeeping(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if self.replaced.as_ref().is_some_and(|(replaced, until)| replaced.parked == 0 || *until <= now) {
            self.retire_replaced();
        }
        self.replaced.as_ref().map(|(_, until)| *until - now)
    }

    fn end(&self) -> Receiver<Infallible> {
        self.current.engine.end()
    }

    fn cause_of_end(&self) -> Option<CauseOfEnd> {
        self.current.engine.cause_of_end()
    }
}
