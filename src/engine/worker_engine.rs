//! The engine of one worker, wherever it runs, and those that it replaced.
//!
//! After a reload, and when an engine had as many requests as it may have (`--max-requests`), the transactions that wait
//! for their response are in the replaced engine: it is kept as long as they may wait, for responses alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actors::{Engine, EngineError, Failure, FailureKind, StartError};
use crossbeam::channel::Receiver;
use slog::{Logger, debug, warn};

use crate::engine::application::{Applications, UnknownApplication};
use crate::engine::http_message::HttpMessage;
use crate::engine::id::Ticket;
use crate::engine::process::EngineProcess;
use crate::engine::thread::EngineThread;
use crate::engine::verdict::Verdict;
use crate::engine::{Isolation, Shared, Truncated};

/// An engine for the tree.
pub struct WorkerEngine {
    worker: usize,
    shared: Arc<Shared>,
    current: Generation,
    /// Those that it replaced, oldest first, and how long each is kept.
    replaced: Vec<(Generation, Instant)>,
    log: Logger,
}

/// An engine.
struct Generation {
    /// No other has had it.
    number: u64,
    form: Form,
    /// Requests that it got, and how many it may get.
    requests: u64,
    max_requests: u64,
    /// Transactions that wait in it, at most.
    waiting: usize,
}

enum Form {
    Process(EngineProcess),
    Thread(EngineThread),
}

/// The status for a body that cannot be inspected to its end (RFC 9110, 15.5.14).
const CONTENT_TOO_LARGE: u16 = 413;

impl WorkerEngine {
    /// Starts the engine of the worker with this number.
    pub(super) fn start(worker: usize, shared: Arc<Shared>, log: &Logger) -> Result<Self, StartError> {
        let current = Generation::start(worker, &shared, shared.recycling.first(worker), log)?;
        Ok(Self { worker, shared, current, replaced: Vec::new(), log: log.clone() })
    }

    /// What is to be said of a request without asking an engine.
    fn decide(&self, message: &HttpMessage) -> Option<Result<Verdict, EngineError>> {
        let Applications { known, unknown } = &self.shared.applications;
        let is_known = message.application().is_none_or(|name| known.contains(name));
        if !is_known && *unknown == UnknownApplication::Error {
            let failure = Failure::new(FailureKind::Invalid, "unknown application");
            return Some(Err(EngineError::Refused(failure)));
        }
        let HttpMessage::Request(request) = message else { return None };
        if !request.truncated {
            return None;
        }
        let cause = "HAProxy sent only the beginning of the body";
        match self.shared.truncated {
            Truncated::Inspect => None,
            Truncated::Deny => Some(Ok(Verdict::denied(CONTENT_TOO_LARGE, cause))),
            Truncated::Error => Some(Err(EngineError::Refused(Failure::new(FailureKind::Truncated, cause)))),
        }
    }

    /// The replaced engine that has the transaction of this response.
    fn replaced(&self, message: &HttpMessage) -> Option<usize> {
        let HttpMessage::Response(response) = message else { return None };
        let generation = response.ticket()?.generation;
        self.replaced.iter().position(|(replaced, _)| replaced.number == generation)
    }

    /// Asks a replaced engine. The worker lives on with its current one if that dies of it.
    fn inspect_replaced(&mut self, index: usize, message: &HttpMessage) -> Result<Verdict, EngineError> {
        let mut inspected = Err(EngineError::NotBegun);
        if let Some((replaced, _)) = self.replaced.get_mut(index) {
            replaced.inspect(self.worker, &[message], &mut |_, outcome| inspected = outcome);
        }
        if let Err(EngineError::Dead(failure) | EngineError::DeadBefore(failure)) = inspected {
            drop(self.replaced.remove(index));
            return Err(EngineError::Refused(failure));
        }
        inspected
    }

    /// Replaces the engine by one that may get so many requests.
    fn replace(&mut self, max_requests: u64) -> Result<(), StartError> {
        let current = Generation::start(self.worker, &self.shared, max_requests, &self.log)?;
        let replaced = std::mem::replace(&mut self.current, current);
        if replaced.waiting > 0 {
            self.replaced.push((replaced, Instant::now() + self.shared.responses.ttl));
        }
        Ok(())
    }
}

impl Generation {
    fn start(worker: usize, shared: &Shared, max_requests: u64, log: &Logger) -> Result<Self, StartError> {
        let form = match shared.isolation() {
            Isolation::Process(keeper, limit) => {
                Form::Process(EngineProcess::start(worker, keeper, limit, log)?)
            }
            Isolation::Thread(threads) => Form::Thread(EngineThread::start(worker, threads, log)?),
        };
        let number = shared.engines.fetch_add(1, Ordering::Relaxed);
        Ok(Self { number, form, requests: 0, max_requests, waiting: 0 })
    }

    /// Has these inspected, and tells what comes of each.
    fn inspect(
        &mut self,
        worker: usize,
        messages: &[&HttpMessage],
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) {
        let (number, requests, waiting) = (self.number, &mut self.requests, &mut self.waiting);
        let mut told = |place: usize, mut inspected: Result<Verdict, EngineError>| {
            let Some(message) = messages.get(place) else { return };
            let is_request = matches!(message, HttpMessage::Request(_));
            if is_request && inspected != Err(EngineError::NotBegun) {
                *requests += 1;
            }
            if let Ok(verdict) = &mut inspected {
                if !is_request && !verdict.is_lost {
                    *waiting = waiting.saturating_sub(1);
                }
                if verdict.is_kept {
                    *waiting += 1;
                    verdict.ticket = Some(Ticket { id: message.id().to_owned(), worker, generation: number });
                }
            }
            outcome(place, inspected);
        };
        match &mut self.form {
            Form::Process(engine) => engine.inspect(messages, &mut told),
            Form::Thread(engine) => engine.inspect(messages, &mut told),
        }
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
        for (place, &message) in messages.iter().enumerate() {
            if let Some(decided) = self.decide(message) {
                outcome(place, decided);
            } else if let Some(index) = self.replaced(message) {
                outcome(place, self.inspect_replaced(index, message));
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
        let engine = match &self.current.form {
            Form::Process(engine) => engine.at_a_time(),
            Form::Thread(engine) => engine.at_a_time(),
        };
        engine.min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    fn reload(&mut self) -> Result<(), StartError> {
        // All workers do so at this moment.
        self.replace(self.shared.recycling.first(self.worker))
    }

    fn recycle(&mut self) -> bool {
        // One at a time is kept for its responses: those of one that gets many requests would become many.
        if self.current.requests < self.current.max_requests || !self.replaced.is_empty() {
            return false;
        }
        let requests = self.current.requests;
        let process = match &self.current.form {
            Form::Process(engine) => engine.pid().as_raw(),
            Form::Thread(_) => return false,
        };
        match self.replace(self.shared.recycling.later()) {
            Ok(()) => {
                debug!(self.log, "engine recycled"; "process" => process, "requests" => requests);
                true
            }
            Err(error) => {
                self.current.max_requests = requests.saturating_add(self.shared.recycling.later());
                warn!(self.log, "engine cannot be recycled and goes on"; "process" => process, "requests" => requests,
                    "cause" => %error, "next attempt" => format!("after {} requests", self.current.max_requests));
                false
            }
        }
    }

    fn housekeeping(&mut self) -> Option<Duration> {
        let now = Instant::now();
        self.replaced.retain(|(replaced, until)| replaced.waiting > 0 && *until > now);
        self.replaced.first().map(|(_, until)| *until - now)
    }

    fn end(&self) -> Receiver<Infallible> {
        match &self.current.form {
            Form::Process(engine) => engine.end(),
            Form::Thread(engine) => engine.end(),
        }
    }

    fn cause_of_end(&self) -> Option<String> {
        match &self.current.form {
            Form::Process(engine) => engine.cause_of_end(),
            Form::Thread(engine) => engine.cause_of_end(),
        }
    }
}
