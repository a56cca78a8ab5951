//! What the agent does with a message: decode it, let ModSecurity inspect the request, answer, log.

pub mod answer;
pub mod decode;
pub mod headers;
pub mod id;
pub mod load;
pub mod modsecurity3;
pub mod process;
pub mod request;
pub mod text;
pub mod thread;
pub mod verdict;
mod watchdog;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actors::spop::ActionList;
use actors::{Agent, Engine, EngineError, Failure, StartError};
use bytes::Bytes;
use crossbeam::channel::Receiver;
use slog::{Logger, info};

use answer::OnError;
use id::IdSource;
use process::{EngineProcess, Keeper};
use request::Request;
use text::Text;
use thread::{EngineThread, Threads};
use verdict::Verdict;

/// Lines that the matches of one request may take in the log. The line of a denial names all rules in any case.
const MAX_MATCH_LINES: usize = 16;

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
    on_error: OnError,
    ids: IdSource,
}

impl ModSecurityAgent {
    /// An agent whose engines run there.
    #[must_use]
    pub fn new(isolation: Isolation, on_error: OnError) -> Self {
        Self { isolation, on_error, ids: IdSource::default() }
    }
}

/// The engine of one worker.
pub enum WorkerEngine {
    /// In a process.
    Process(EngineProcess),
    /// In a thread.
    Thread(EngineThread),
}

impl Engine for WorkerEngine {
    type Request = Request;
    type Verdict = Verdict;

    fn inspect(&mut self, request: &Request) -> Result<Verdict, EngineError> {
        match self {
            Self::Process(engine) => engine.inspect(request),
            Self::Thread(engine) => engine.inspect(request),
        }
    }

    fn end(&self) -> Receiver<Infallible> {
        match self {
            Self::Process(engine) => engine.end(),
            Self::Thread(engine) => engine.end(),
        }
    }

    fn cause_of_end(&self) -> Option<String> {
        match self {
            Self::Process(engine) => engine.cause_of_end(),
            Self::Thread(engine) => engine.cause_of_end(),
        }
    }
}

impl Agent for ModSecurityAgent {
    type Request = Request;
    type Verdict = Verdict;
    type Engine = WorkerEngine;

    fn start_engine(&self, worker: usize, log: &Logger) -> Result<WorkerEngine, StartError> {
        match &self.isolation {
            Isolation::Process(keeper, limit) => {
                EngineProcess::start(worker, Arc::clone(keeper), *limit, log).map(WorkerEngine::Process)
            }
            Isolation::Thread(threads) => {
                EngineThread::start(worker, Arc::clone(threads), log).map(WorkerEngine::Thread)
            }
        }
    }

    fn rebuild(&self) {
        if let Isolation::Process(keeper, _) = &self.isolation {
            keeper.rebuild();
        }
    }

    fn fingerprint(&self, request: &Request) -> u64 {
        request.fingerprint()
    }

    fn decode(&self, payload: &Bytes) -> Result<Request, Failure> {
        decode::decode(payload, self.ids.next())
    }

    fn answer(&self, request: Option<&Request>, outcome: Result<&Verdict, &Failure>) -> ActionList {
        answer::answer(request, outcome, self.on_error)
    }

    fn record(&self, request: &Request, verdict: &Verdict, log: &Logger) {
        if let Some(intervention) = &verdict.intervention {
            info!(log, "request denied"; request, "action" => intervention.action.name(),
                "status" => intervention.status, "rules" => verdict.rule_ids(), "score" => verdict.score(),
                "message" => %Text(&verdict.message));
        }
        for found in verdict.matches.iter().take(MAX_MATCH_LINES) {
            info!(log, "rule matched"; "id" => &request.id, "client" => %request.client,
                "uri" => %Text(&request.uri), "rule" => found.rule, "severity" => found.severity(),
                "message" => %Text(&found.message), "data" => %Text(&found.data), "tags" => %Text(&found.tags),
                "source" => &found.source);
        }
        let unsaid = verdict.matches.len().saturating_sub(MAX_MATCH_LINES) as u64 + verdict.more_matches;
        if unsaid > 0 {
            info!(log, "more rules matched"; "id" => &request.id, "rules" => unsaid);
        }
    }
}
