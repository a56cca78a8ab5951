//! The jobs that a worker gives its engine in one call: one, or several when jobs are cheap and many wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use slog::Logger;

use super::{Exit, WorkerContext, description, settle, text_of};
use crate::agent::Agent;
use crate::engine::{Engine, EngineError};
use crate::failure::{Failure, FailureKind};
use crate::queue::{Job, QUARANTINED, Reply};

/// The job, if its Connection still waits for it and it is not overdue. If not, the job is dropped: its Connection has
/// settled it, or is gone.
pub(super) fn due<A: Agent>(job: Job<A>, now: Instant) -> Option<Job<A>> {
    if job.reply.is_awaited() && now < job.deadline {
        return Some(job);
    }
    job.reply.forget();
    None
}

/// Has the engine inspect these jobs and settles each as soon as its outcome is known. Jobs that the engine does not begin
/// with go back to the queue. `start` is when the worker took the jobs.
///
/// # Errors
/// When the engine died: the worker's thread ends with this exit.
pub(super) fn process<A: Agent>(
    context: &WorkerContext<A>,
    engine: &mut A::Engine,
    jobs: impl Iterator<Item = Job<A>>,
    start: Instant,
    log: &Logger,
) -> Result<(), Exit> {
    let (mut requests, mut open) = (Vec::new(), Vec::new());
    for job in jobs.filter_map(|job| unless_quarantined(context, job, start)) {
        requests.push(job.request);
        open.push(Some(Open { dialect: job.dialect, deadline: job.deadline, reply: job.reply }));
    }
    let mut batch = Batch { context, requests: &requests, open, last: start, death: None, log };
    let all: Vec<_> = requests.iter().map(AsRef::as_ref).collect();
    let inspect = AssertUnwindSafe(|| {
        engine.inspect(&all, &mut |place, inspected| batch.take(place, inspected));
    });
    if let Err(panic) = catch_unwind(inspect) {
        let failure = Failure::new(FailureKind::Crash, text_of(&*panic));
        match batch.open.iter().position(Option::is_some) {
            Some(place) => batch.take(place, Err(EngineError::Dead(failure))),
            // Every request is settled, so none of them is to blame.
            None => batch.death = Some(Death { place: None, failure, quarantined: false }),
        }
    }
    let Batch { open, death, .. } = batch;
    let mut killer = None;
    for (place, (request, open)) in requests.into_iter().zip(open).enumerate() {
        match open {
            Some(open) => context.queue.give_back(open.job(request)),
            None if death.as_ref().is_some_and(|death| death.place == Some(place)) => killer = Some(request),
            None => {}
        }
    }
    let Some(death) = death else { return Ok(()) };
    // Asked for after the answers: it may take a moment.
    let cause = engine.cause_of_end().map_or(death.failure.cause, Into::into);
    let Some(request) = killer else { return Err(Exit::idle_end(cause.into_owned())) };
    let failure = Failure::new(death.failure.kind, cause);
    context.peer_log.failure(&failure, &*request);
    Err(Exit::EngineDied {
        cause: failure.cause.into_owned(),
        request: description(&*request),
        quarantined: death.quarantined,
    })
}

/// The job, unless its request is in quarantine, which may have begun after the job was admitted: then it is answered.
fn unless_quarantined<A: Agent>(context: &WorkerContext<A>, job: Job<A>, now: Instant) -> Option<Job<A>> {
    if !context.queue.quarantine().holds(|| context.agent.fingerprint(&job.request), now) {
        return Some(job);
    }
    settle(context, job, &Failure::new(FailureKind::Quarantine, QUARANTINED));
    None
}

/// The jobs that an engine inspects in one call.
struct Batch<'a, A: Agent> {
    context: &'a WorkerContext<A>,
    requests: &'a [Arc<A::Request>],
    /// Each job without its request, until it is settled or given back.
    open: Vec<Option<Open<A>>>,
    /// When the job before was settled, or the worker took the first.
    last: Instant,
    death: Option<Death>,
    log: &'a Logger,
}

/// A job without its request.
struct Open<A: Agent> {
    dialect: A::Dialect,
    deadline: Instant,
    reply: Reply,
}

impl<A: Agent> Open<A> {
    /// The job again.
    fn job(self, request: Arc<A::Request>) -> Job<A> {
        Job { request, dialect: self.dialect, deadline: self.deadline, reply: self.reply }
    }
}

/// The end of an engine.
struct Death {
    /// The index of the request that the engine inspected, if it inspected one.
    place: Option<usize>,
    failure: Failure,
    /// The request is in quarantine from now on.
    quarantined: bool,
}

impl<A: Agent> Batch<'_, A> {
    /// Takes the outcome of the job at this index.
    fn take(&mut self, place: usize, inspected: Result<A::Verdict, EngineError>) {
        let (context, agent) = (self.context, &self.context.agent);
        let Some(request) = self.requests.get(place) else { return };
        let outcome = match inspected {
            Ok(verdict) => Ok(verdict),
            Err(EngineError::DeadBefore(failure)) => {
                self.death = Some(Death { place: None, failure, quarantined: false });
                return;
            }
            Err(EngineError::NotBegun) => {
                if let Some(open) = self.open.get_mut(place).and_then(Option::take) {
                    context.queue.give_back(open.job(Arc::clone(request)));
                }
                return;
            }
            Err(EngineError::Dead(failure)) => {
                // Before the answer: the client may send the request again as soon as it has the answer.
                let quarantined =
                    context.queue.quarantine().killed(agent.fingerprint(request), Instant::now());
                self.death = Some(Death { place: Some(place), failure: failure.clone(), quarantined });
                Err(failure)
            }
            Err(EngineError::Request(cause)) => Err(Failure::new(FailureKind::Engine, cause)),
            Err(EngineError::Refused(failure)) => Err(failure),
        };
        if let Some(Open { dialect, reply, .. }) = self.open.get_mut(place).and_then(Option::take) {
            reply.settle(agent.answer(dialect, Some(&**request), outcome.as_ref()).into_payload());
        }
        match outcome {
            Ok(verdict) => {
                context.queue.admission().count_verdict();
                agent.record(request, &verdict, self.log);
            }
            // Logged by `process`, when the cause is known.
            Err(_) if self.death.is_some() => {}
            Err(failure) => context.peer_log.failure(&failure, &**request),
        }
        let now = Instant::now();
        context.queue.admission().served(now - std::mem::replace(&mut self.last, now));
    }
}
