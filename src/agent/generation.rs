//! One engine of a worker, from its start to its end, and what engines are made of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use actors::{Engine, EngineError, StartError};
use slog::Logger;

use super::AgentSettings;
use crate::isolation::{AnyEngine, Isolation};
use crate::message::HttpMessage;
use crate::message::id::Ticket;
use crate::message::verdict::Verdict;

/// What all engines are made of.
pub(super) struct Shared {
    /// Where engines run, and the number of that: 1 at the start, one more after each reload.
    isolation: Mutex<(u64, Isolation)>,
    pub(super) settings: AgentSettings,
    /// Engines started so far.
    engines: AtomicU64,
}

impl Shared {
    pub(super) fn new(isolation: Isolation, settings: AgentSettings) -> Self {
        Self { isolation: Mutex::new((1, isolation)), settings, engines: AtomicU64::new(0) }
    }

    /// Where engines run now.
    pub(super) fn isolation(&self) -> Isolation {
        self.isolation.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Lets engines run there from now on. Returns the number of the new rules; the first are 1.
    pub(super) fn replace(&self, isolation: Isolation) -> u64 {
        let mut current = self.isolation.lock().unwrap_or_else(PoisonError::into_inner);
        *current = (current.0 + 1, isolation);
        current.0
    }
}

/// An engine.
pub(super) struct Generation {
    /// Its number; no other engine has had the same.
    pub(super) number: u64,
    pub(super) engine: AnyEngine,
    /// Requests that it got, and how many it may get.
    pub(super) requests: u64,
    pub(super) max_requests: u64,
    /// Transactions that are parked in it, at most.
    pub(super) parked: usize,
}

impl Generation {
    pub(super) fn start(
        worker: usize,
        shared: &Shared,
        max_requests: u64,
        log: &Logger,
    ) -> Result<Self, StartError> {
        let engine = AnyEngine::start(worker, &shared.isolation(), log)?;
        let number = shared.engines.fetch_add(1, Ordering::Relaxed);
        Ok(Self { number, engine, requests: 0, max_requests, parked: 0 })
    }

    /// Has these inspected, and tells what comes of each.
    pub(super) fn inspect(
        &mut self,
        worker: usize,
        messages: &[&HttpMessage],
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) {
        let (number, requests, parked) = (self.number, &mut self.requests, &mut self.parked);
        let mut told = |place: usize, mut inspected: Result<Verdict, EngineError>| {
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
        self.engine.inspect(messages, &mut told);
    }
}
