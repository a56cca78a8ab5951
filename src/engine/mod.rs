//! What the agent does with a message: decode it, let ModSecurity inspect the request, answer, log.

pub mod answer;
pub mod application;
pub mod block_page;
mod body_checks;
pub mod decode;
pub mod dialect;
pub mod directives;
pub mod headers;
pub mod http_message;
pub mod id;
mod inspector;
mod library;
pub mod load;
pub mod modsecurity;
#[cfg(feature = "engine2")]
mod modsecurity2;
#[cfg(feature = "engine3")]
mod modsecurity3;
mod partial;
pub mod process;
mod record;
pub mod recycling;
pub mod request;
pub mod response;
pub mod text;
pub mod thread;
mod traffic;
pub mod verdict;
pub mod version;
pub mod waiting;
mod watchdog;
mod worker_engine;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actors::spop::ActionList;
use actors::{Agent, Failure, StartError};
use bytes::Bytes;
use slog::Logger;

use answer::Policy;
use application::Applications;
use dialect::Dialect;
use http_message::HttpMessage;
use id::IdSource;
use process::Keeper;
use recycling::Recycling;
use thread::Threads;
use traffic::Traffic;
use verdict::Verdict;
use waiting::Bounds;
pub use worker_engine::WorkerEngine;

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
    shared: Arc<Shared>,
    policy: Policy,
    ids: IdSource,
    traffic: Traffic,
}

/// What all engines are made of.
struct Shared {
    /// Where they run, and how many reloads there were.
    isolation: Mutex<(u64, Isolation)>,
    truncated: Truncated,
    /// Transactions that may wait in each.
    responses: Bounds,
    recycling: Recycling,
    applications: Applications,
    /// How many there have been.
    engines: AtomicU64,
}

impl Shared {
    fn isolation(&self) -> Isolation {
        self.isolation.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl ModSecurityAgent {
    /// An agent whose engines run there, with so many transactions that may wait in each.
    #[must_use]
    pub fn new(
        isolation: Isolation,
        policy: Policy,
        truncated: Truncated,
        responses: Bounds,
        recycling: Recycling,
        applications: Applications,
    ) -> Self {
        let isolation = Mutex::new((1, isolation));
        let engines = AtomicU64::new(0);
        let shared = Shared { isolation, truncated, responses, recycling, applications, engines };
        Self { shared: Arc::new(shared), policy, ids: IdSource::default(), traffic: Traffic::default() }
    }

    /// From now on engines run there. Says how many times that has been changed, the start included.
    pub fn replace(&self, isolation: Isolation) -> u64 {
        let mut current = self.shared.isolation.lock().unwrap_or_else(PoisonError::into_inner);
        *current = (current.0 + 1, isolation);
        current.0
    }
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

impl Agent for ModSecurityAgent {
    type Request = HttpMessage;
    type Verdict = Verdict;
    type Dialect = Dialect;
    type Engine = WorkerEngine;

    fn start_engine(&self, worker: usize, log: &Logger) -> Result<WorkerEngine, StartError> {
        WorkerEngine::start(worker, Arc::clone(&self.shared), log)
    }

    fn rebuild(&self) {
        if let Isolation::Process(keeper, _) = self.shared.isolation() {
            keeper.rebuild();
        }
    }

    fn fingerprint(&self, message: &HttpMessage) -> u64 {
        message.fingerprint()
    }

    fn affinity(&self, message: &HttpMessage) -> Option<usize> {
        match message {
            HttpMessage::Request(_) => None,
            HttpMessage::Response(response) => response.ticket().map(|ticket| ticket.worker),
        }
    }

    fn read(&self, payload: &Bytes) -> (Dialect, Result<HttpMessage, Failure>) {
        let (dialect, message) = decode::read(payload, self.ids.next());
        if let Ok(message) = &message {
            let application = message.application();
            let known = application.is_none_or(|name| self.shared.applications.known.contains(name));
            self.traffic.message(message, known || self.shared.applications.known.is_empty());
        }
        (dialect, message)
    }

    fn dialect(&self, start: &Bytes) -> Dialect {
        decode::dialect(start)
    }

    fn answer(
        &self,
        dialect: Dialect,
        message: Option<&HttpMessage>,
        outcome: Result<&Verdict, &Failure>,
    ) -> ActionList {
        answer::answer(dialect, message, outcome, &self.policy)
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
