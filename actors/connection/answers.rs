//! The answers of a Connection: each NOTIFY gets one ACK, from a worker or from the Connection itself.

use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Instant;

use actix::{AsyncContext, Context, Handler};
use bytes::Bytes;
use slog::error;

use super::{Connection, Notify, Phase};
use crate::agent::Agent;
use crate::failure::{Failure, FailureKind};
use crate::queue::{History, Job, Outcome, Reply, Settled};
use crate::spop::{Actions, Excess, FrameId, ProtocolError, Status};
use crate::stats::Stage;

/// What the answer to a NOTIFY needs: its frame, its dialect, and when it came.
type Asked<D> = (FrameId, D, Instant);

impl<A: Agent> Connection<A> {
    /// Offers one NOTIFY to the workers, or answers it at once.
    pub(super) fn offer(&mut self, id: FrameId, payload: &Bytes, ctx: &mut Context<Self>) {
        let (begun, now) = (self.begun.take(), Instant::now());
        let arrived =
            begun.and_then(|(_, deadline)| deadline.checked_sub(self.context.deadline)).unwrap_or(now);
        if begun.is_none() {
            self.entry.cell.messages.increment();
        }
        let (dialect, request) = self.context.agent.read(payload);
        let request = match request {
            Ok(request) => Arc::new(request),
            Err(failure) => {
                self.context.peer_log.failure(&failure, slog::kv!("peer" => &self.peer));
                self.answer_at_once(begun, (id, dialect, arrived), None, &failure);
                return;
            }
        };
        let (ticket, deadline) = begun.unwrap_or_else(|| self.unanswered.ticket());
        let reply = Reply::new(ctx.address().recipient(), ticket);
        let history = History::default();
        let job = Job { request: Arc::clone(&request), dialect, deadline, reply, history };
        match self.context.queue.offer(job, &self.context.agent, Instant::now()) {
            Ok(()) if begun.is_none() => {
                let notify = Notify { id, dialect, arrived, request: Some(request) };
                self.unanswered.insert((ticket, deadline), notify);
            }
            Ok(()) => self
                .unanswered
                .get_mut(ticket)
                .into_iter()
                .for_each(|notify| notify.request = Some(Arc::clone(&request))),
            Err((failure, job)) => {
                self.context.peer_log.failure(&failure, &*request);
                self.answer_at_once(begun, (id, dialect, arrived), Some(&*request), &failure);
                job.reply.forget();
            }
        }
    }

    /// Answers a NOTIFY whose fragments were not put together.
    pub(super) fn refuse(&mut self, excess: Excess) {
        let failure = match excess {
            Excess::Payload => Failure::new(FailureKind::TooLarge, "it is larger than the largest payload"),
            Excess::Budget => Failure::new(FailureKind::Overload, "too many payloads in fragments at a time"),
        };
        self.context.peer_log.failure(&failure, slog::kv!("peer" => &self.peer));
        let begun = self.begun.take().and_then(|(ticket, _)| self.unanswered.take(ticket));
        if let Some(Notify { id, dialect, arrived, .. }) = begun {
            let actions = self.failed(dialect, None, &failure);
            self.answer((id, dialect, arrived), &actions, Outcome::Failed(failure.kind));
        }
    }

    fn answer_at_once(
        &mut self,
        begun: Option<(u64, Instant)>,
        asked: Asked<A::Dialect>,
        request: Option<&A::Request>,
        failure: &Failure,
    ) {
        if let Some((ticket, _)) = begun {
            self.unanswered.take(ticket);
        }
        let actions = self.failed(asked.1, request, failure);
        self.answer(asked, &actions, Outcome::Failed(failure.kind));
    }

    /// Answers a NOTIFY of this link, and counts the answer.
    fn answer(&mut self, (id, dialect, arrived): Asked<A::Dialect>, actions: &Actions, outcome: Outcome) {
        let is_told = self.acknowledge(id, dialect, actions);
        self.count(arrived, if is_told { outcome } else { Outcome::Failed(FailureKind::Engine) });
    }

    /// Counts an answer: each NOTIFY has one, so each counts once.
    fn count(&self, arrived: Instant, outcome: Outcome) {
        match outcome {
            Outcome::Inspected(class) => self.context.agent.count(class),
            Outcome::Failed(kind) => self.context.stats.not_inspected(kind).increment(),
        }
        self.context.stats.stage(Stage::Whole).observe(arrived.elapsed());
        self.entry.cell.answers.increment();
    }

    /// Logs that a request was not inspected, with the request's own keys if all of it has come.
    fn log_failure(&self, failure: &Failure, request: Option<&A::Request>) {
        match request {
            Some(request) => self.context.peer_log.failure(failure, request),
            None => self.context.peer_log.failure(failure, slog::kv!("peer" => &self.peer)),
        }
    }

    fn failed(&self, dialect: A::Dialect, request: Option<&A::Request>, failure: &Failure) -> Actions {
        self.context.agent.answer(dialect, request, Err(failure)).into_payload()
    }

    /// Writes an ACK, or has another link write it when this one is closed. Returns whether it says what it should: an answer
    /// that does not fit in a frame becomes an error.
    pub(super) fn acknowledge(&mut self, id: FrameId, dialect: A::Dialect, actions: &Actions) -> bool {
        if self.session.is_closed() {
            self.pass_on(id, dialect, actions);
            return true;
        }
        if self.session.acknowledge(id, actions, &mut self.output).is_ok() {
            return true;
        }
        let failure = Failure::new(FailureKind::Engine, "the answer does not fit in a frame");
        error!(self.log, # "answer_too_long", "answer too long for the frame size");
        let short = self.failed(dialect, None, &failure);
        if self.session.acknowledge(id, &short, &mut self.output).is_err() {
            // Not even an error fits in a frame.
            self.disconnect(Status::TooBig);
        }
        false
    }

    /// Settles the jobs that are overdue. When the fragments of a payload are overdue, the link is closed too: HAProxy sends
    /// all fragments at once, and does not use a link again on which it got an ACK with ABORT.
    pub(super) fn settle_overdue(&mut self, task: &mut Task<'_>) {
        while let Poll::Ready(ticket) = self.unanswered.poll_overdue(task) {
            if self.begun.is_some_and(|(begun, _)| begun == ticket) {
                const CAUSE: &str = "the last fragment did not come within the deadline";
                self.settle_here(ticket, &Failure::new(FailureKind::Timeout, CAUSE));
                self.part_with(&ProtocolError::new(Status::Timeout, CAUSE));
            } else {
                let failure = Failure::new(FailureKind::Timeout, "no verdict within the deadline");
                self.settle_here(ticket, &failure);
            }
        }
    }

    /// Answers a job that a worker may still have, or whose fragments have not all come.
    pub(super) fn settle_here(&mut self, ticket: u64, failure: &Failure) {
        let Some(Notify { id, dialect, arrived, request }) = self.unanswered.take(ticket) else {
            return;
        };
        self.log_failure(failure, request.as_deref());
        let actions = self.failed(dialect, None, failure);
        if self.begun.take_if(|(begun, _)| *begun == ticket).is_none() {
            self.answer((id, dialect, arrived), &actions, Outcome::Failed(failure.kind));
            return;
        }
        if self.session.abort(&actions, &mut self.output).is_err() {
            // Not even an error fits in a frame.
            self.disconnect(Status::TooBig);
        }
        self.count(arrived, Outcome::Failed(failure.kind));
    }
}

impl<A: Agent> Handler<Settled> for Connection<A> {
    type Result = ();

    fn handle(&mut self, settled: Settled, _: &mut Self::Context) {
        let Some(Notify { id, dialect, arrived, request }) = self.unanswered.take(settled.ticket) else {
            return;
        };
        let (actions, outcome) = settled.answer.unwrap_or_else(|| {
            let is_stopping = matches!(self.phase, Phase::Draining { .. }) && self.farewell == Status::Normal;
            let kind = if is_stopping { FailureKind::Shutdown } else { FailureKind::Crash };
            let failure = Failure::new(kind, "the worker went away");
            self.log_failure(&failure, request.as_deref());
            (self.failed(dialect, None, &failure), Outcome::Failed(kind))
        });
        self.answer((id, dialect, arrived), &actions, outcome);
    }
}
