//! What the agent does with a message: decode it, let ModSecurity inspect the request, answer, log.

pub mod answer;
pub mod block_page;
mod body_checks;
pub mod decode;
pub mod headers;
pub mod http_message;
pub mod id;
pub mod load;
pub mod modsecurity3;
mod partial;
pub mod process;
mod record;
pub mod request;
pub mod response;
pub mod text;
pub mod thread;
mod traffic;
pub mod verdict;
mod watchdog;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::spop::ActionList;
use actors::{Agent, Engine, EngineError, Failure, FailureKind, StartError};
use bytes::Bytes;
use crossbeam::channel::Receiver;
use slog::Logger;

use answer::Policy;
use http_message::HttpMessage;
use id::IdSource;
use process::{EngineProcess, Keeper};
use thread::{EngineThread, Threads};
use traffic::Traffic;
use verdict::Verdict;

/// Where engines run.
#[derive(Clone)]
pub enum Isolation {
    /// Each in a process of its own, which may use so much CPU time for one request.
    Process(Arc<Keeper>, Duration),
    /// Each in a thread of this process.
    Thread(Arc<Threads>),
}

/// The agent that HAProxy talks to: the top of the tree's [`Agent`].
pub struct ModSecurityAgent {
    isolation: Isolation,
    policy: Policy,
    truncated: Truncated,
    ids: IdSource,
    traffic: Traffic,
}

/// What becomes of a request of which HAProxy had only the beginning of the body (`--truncated`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncated {
    /// What there is of it is inspected.
    #[default]
    Inspect,
    /// It is denied.
    Deny,
    /// Nobody inspects it.
    Error,
}

impl ModSecurityAgent {
    /// An agent whose engines run there.
    #[must_use]
    pub fn new(isolation: Isolation, policy: Policy, truncated: Truncated) -> Self {
        Self { isolation, policy, truncated, ids: IdSource::default(), traffic: Traffic::default() }
    }
}

/// The engine of one worker.
pub struct WorkerEngine {
    form: Form,
    truncated: Truncated,
}

enum Form {
    Process(EngineProcess),
    Thread(EngineThread),
}

impl WorkerEngine {
    /// What is to be said of a request without asking the engine.
    fn decide(&self, message: &HttpMessage) -> Option<Result<Verdict, EngineError>> {
        let HttpMessage::Request(request) = message else { return None };
        if !request.truncated {
            return None;
        }
        let cause = "HAProxy sent only the beginning of the body";
        match self.truncated {
            Truncated::Inspect => None,
            Truncated::Deny => Some(Ok(Verdict::denied(CONTENT_TOO_LARGE, cause))),
            Truncated::Error => Some(Err(EngineError::Refused(Failure::new(FailureKind::Truncated, cause)))),
        }
    }
}

/// The status for a body that cannot be inspected to its end (RFC 9110, 15.5.14).
const CONTENT_TOO_LARGE: u16 = 413;

impl Engine for WorkerEngine {
    type Request = HttpMessage;
    type Verdict = Verdict;

    fn inspect(&mut self, message: &HttpMessage) -> Result<Verdict, EngineError> {
        if let Some(decided) = self.decide(message) {
            return decided;
        }
        match &mut self.form {
            Form::Process(engine) => engine.inspect(message),
            Form::Thread(engine) => engine.inspect(message),
        }
    }

    fn end(&self) -> Receiver<Infallible> {
        match &self.form {
            Form::Process(engine) => engine.end(),
            Form::Thread(engine) => engine.end(),
        }
    }

    fn cause_of_end(&self) -> Option<String> {
        match &self.form {
            Form::Process(engine) => engine.cause_of_end(),
            Form::Thread(engine) => engine.cause_of_end(),
        }
    }
}

impl Agent for ModSecurityAgent {
    type Request = HttpMessage;
    type Verdict = Verdict;
    type Engine = WorkerEngine;

    fn start_engine(&self, worker: usize, log: &Logger) -> Result<WorkerEngine, StartError> {
        let form = match &self.isolation {
            Isolation::Process(keeper, limit) => {
                Form::Process(EngineProcess::start(worker, Arc::clone(keeper), *limit, log)?)
            }
            Isolation::Thread(threads) => {
                Form::Thread(EngineThread::start(worker, Arc::clone(threads), log)?)
            }
        };
        Ok(WorkerEngine { form, truncated: self.truncated })
    }

    fn rebuild(&self) {
        if let Isolation::Process(keeper, _) = &self.isolation {
            keeper.rebuild();
        }
    }

    fn fingerprint(&self, message: &HttpMessage) -> u64 {
        message.fingerprint()
    }

    fn affinity(&self, message: &HttpMessage) -> Option<usize> {
        match message {
            HttpMessage::Request(_) => None,
            HttpMessage::Response(response) => response.worker(),
        }
    }

    fn decode(&self, payload: &Bytes) -> Result<HttpMessage, Failure> {
        let message = decode::decode(payload, self.ids.next())?;
        self.traffic.message(&message);
        Ok(message)
    }

    fn answer(&self, message: Option<&HttpMessage>, outcome: Result<&Verdict, &Failure>) -> ActionList {
        answer::answer(message, outcome, &self.policy)
    }

    fn record(&self, message: &HttpMessage, verdict: &Verdict, log: &Logger) {
        self.traffic.verdict(verdict);
        record::record(message, verdict, log);
    }

    fn health_check(&self) {
        self.traffic.health_check();
    }

    fn review(&self, log: &Logger) {
        self.traffic.review(log, Instant::now());
    }
}
