//! The engine of one worker, wherever it runs, and the one that it replaced.
//!
//! After a reload the transactions that wait for their response are in the replaced engine: it is kept as long as they
//! may wait, for responses alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{Engine, EngineError, Failure, FailureKind, StartError};
use crossbeam::channel::Receiver;
use slog::Logger;

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
    /// Those that reloads replaced, oldest first, and how long each is kept.
    replaced: Vec<(Generation, Instant)>,
    log: Logger,
}

/// An engine, and which reload its rules come from.
struct Generation {
    number: u64,
    form: Form,
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
        let current = Generation::start(worker, &shared, log)?;
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
}

impl Generation {
    fn start(worker: usize, shared: &Shared, log: &Logger) -> Result<Self, StartError> {
        let (number, isolation) = shared.isolation();
        let form = match isolation {
            Isolation::Process(keeper, limit) => {
                Form::Process(EngineProcess::start(worker, keeper, limit, log)?)
            }
            Isolation::Thread(threads) => Form::Thread(EngineThread::start(worker, threads, log)?),
        };
        Ok(Self { number, form })
    }

    fn inspect(&mut self, worker: usize, message: &HttpMessage) -> Result<Verdict, EngineError> {
        let mut verdict = match &mut self.form {
            Form::Process(engine) => engine.inspect(message),
            Form::Thread(engine) => engine.inspect(message),
        }?;
        if verdict.is_kept {
            verdict.ticket = Some(Ticket { id: message.id().to_owned(), worker, generation: self.number });
        }
        Ok(verdict)
    }
}

impl Engine for WorkerEngine {
    type Request = HttpMessage;
    type Verdict = Verdict;

    fn inspect(&mut self, message: &HttpMessage) -> Result<Verdict, EngineError> {
        if let Some(decided) = self.decide(message) {
            return decided;
        }
        let Some(index) = self.replaced(message) else {
            return self.current.inspect(self.worker, message);
        };
        let outcome = match self.replaced.get_mut(index) {
            Some((replaced, _)) => replaced.inspect(self.worker, message),
            None => return self.current.inspect(self.worker, message),
        };
        match outcome {
            // The worker lives on with its current engine.
            Err(EngineError::Dead(failure) | EngineError::DeadBefore(failure)) => {
                drop(self.replaced.remove(index));
                Err(EngineError::Refused(failure))
            }
            outcome => outcome,
        }
    }

    fn renew(&mut self) -> Result<(), StartError> {
        let current = Generation::start(self.worker, &self.shared, &self.log)?;
        let replaced = std::mem::replace(&mut self.current, current);
        if self.shared.responses.count > 0 && replaced.number != self.current.number {
            self.replaced.push((replaced, Instant::now() + self.shared.responses.ttl));
        }
        Ok(())
    }

    fn tidy_up(&mut self) -> Option<Duration> {
        let now = Instant::now();
        self.replaced.retain(|(_, until)| *until > now);
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
