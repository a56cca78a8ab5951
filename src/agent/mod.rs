//! The agent, as the supervision tree sees it: it decodes messages, makes engines that inspect them with ModSecurity,
//! writes answers, and logs verdicts.

pub mod counters;
mod cut_bodies;
mod generation;
mod match_data;
mod misconfiguration;
pub mod policy;
pub mod recycling;
pub mod rule_hits;
mod screening;
mod verdict_log;
mod worker_engine;

use std::sync::Arc;
use std::time::Instant;

use actors::spop::ActionList;
use actors::{Agent, ClientKey, Failure, StartError};
use bytes::Bytes;
use slog::Logger;

use crate::isolation::Isolation;
use crate::message::HttpMessage;
use crate::message::answer::{self, Policy};
use crate::message::decode;
use crate::message::dialect::Dialect;
use crate::message::id::IdSource;
use crate::message::verdict::Verdict;
use crate::modsecurity::parked::RetentionLimits;
use counters::Counters;
use cut_bodies::CutBodies;
use generation::Shared;
pub use misconfiguration::Finding;
use policy::{Applications, Truncated, UnknownApplication};
use recycling::Recycling;
use screening::Screening;
pub use verdict_log::MatchDetail;
pub use worker_engine::WorkerEngine;

/// The agent that HAProxy talks to, shared by all connections and workers of the tree.
pub struct ModSecurityAgent {
    shared: Arc<Shared>,
    policy: Policy,
    ids: IdSource,
    watch: misconfiguration::Watch,
    cut_bodies: CutBodies,
    screening: Screening,
    counters: Counters,
}

/// The operator's settings for answers and engines.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// What the log has of rules that match (`--log-matches`).
    pub matches: MatchDetail,
    /// How answers to HAProxy are made.
    pub answers: Policy,
    /// What becomes of a request whose body was cut (`--truncated`).
    pub truncated: Truncated,
    /// How many transactions each engine may park for their responses, and for how long.
    pub responses: RetentionLimits,
    /// When engine processes are recycled.
    pub recycling: Recycling,
    /// What becomes of requests that name an application without rules of its own (`--unknown-app`).
    pub unknown_application: UnknownApplication,
}

impl ModSecurityAgent {
    /// An agent whose engines run at `isolation`, where these applications have rules of their own.
    #[must_use]
    pub fn new(isolation: Isolation, applications: Applications, settings: AgentSettings) -> Self {
        let policy = settings.answers.clone();
        let counters = Counters::new(applications.names());
        let shared = Arc::new(Shared::new(isolation, applications, settings));
        let (ids, watch) = (IdSource::default(), misconfiguration::Watch::default());
        let (cut_bodies, screening) = (CutBodies::default(), Screening::default());
        Self { shared, policy, ids, watch, cut_bodies, screening, counters }
    }

    /// What HAProxy was told so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What seems to be configured wrongly, from what HAProxy sends: the latest finding of each kind, with its time.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.watch.findings()
    }

    /// Engines that start from now on run at `isolation`, where these applications have rules of their own. Returns the
    /// number of the new rules; the first are 1.
    pub fn replace(&self, isolation: Isolation, applications: Applications) -> u64 {
        self.shared.replace(isolation, applications)
    }

    /// Opens the log files of the rules anew, after they were moved away; returns whether the engines are to be replaced,
    /// as they keep the old files.
    pub fn reopen_logs(&self, log: &Logger) -> bool {
        let (isolation, _) = self.shared.current();
        isolation.reopen_logs(log);
        matches!(isolation, Isolation::Process(..))
    }
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
        if let (Isolation::Process(host, _), _) = self.shared.current() {
            host.rebuild();
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

    /// The client of a request is who `src-ip` says. A response costs an engine by what the server sends, and who asked for it
    /// is not in its message: it has none.
    fn client(&self, message: &HttpMessage) -> Option<ClientKey> {
        match message {
            HttpMessage::Request(request) => request.client.address.map(ClientKey::from),
            HttpMessage::Response(_) => None,
        }
    }

    fn read(&self, payload: &Bytes) -> (Dialect, Result<HttpMessage, Failure>) {
        let (dialect, message) = decode::read(payload, self.ids.next());
        if let Ok(message) = &message {
            let is_known = !self.shared.is_unknown(message.application());
            self.watch.message(message, is_known);
            if message.is_truncated() {
                self.counters.truncated.increment();
            }
            if let HttpMessage::Request(request) = message {
                self.cut_bodies.request(request, self.shared.settings.truncated);
            }
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

    fn classify(&self, message: &HttpMessage, verdict: &Verdict) -> u32 {
        self.counters.class(message, verdict)
    }

    fn count(&self, class: u32) {
        self.counters.count(class);
    }

    fn record(&self, message: &HttpMessage, verdict: &Verdict, log: &Logger) {
        self.watch.verdict(verdict);
        self.screening.record(message, verdict, log);
        self.counters.record(message, verdict);
        verdict_log::record(message, verdict, self.shared.settings.matches, log);
    }

    fn health_check(&self) {
        self.watch.health_check();
    }

    fn review(&self, log: &Logger) {
        let now = Instant::now();
        self.watch.review(log, now);
        self.cut_bodies.review(log, now);
        self.screening.review(log, now);
    }
}
