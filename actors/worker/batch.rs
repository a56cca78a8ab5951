//! The jobs that a worker gives its engine in one call: one, or several when jobs are cheap and many wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use slog::Logger;

use super::{Exit, WorkerContext, description, settle, text_of};
use crate::agent::Agent;
use crate::engine::{CauseOfEnd, Engine, EngineError};
use crate::failure::{Failure, FailureKind};
use crate::queue::{History, Job, Outcome, Place, QUARANTINED, Reply, Standing, UNFAIR};
use crate::stats::Stage;

/// The job, if its Connection still waits for it and it is not overdue. If not, the job is dropped: its Connection has
/// settled it, or is gone.
pub(super) fn due<A: Agent>(mut job: Job<A>, now: Instant) -> Option<Job<A>> {
    if job.reply.is_awaited() && now < job.deadline {
        job.reply.begin();
        return Some(job);
    }
    job.reply.forget();
    None
}

/// The job and whether it is a suspect, unless what was learned after it was admitted speaks against it: its request is in
/// quarantine, or its client has more than its share. Then it is answered.
pub(super) fn unless_held<A: Agent>(
    context: &WorkerContext<A>,
    mut job: Job<A>,
    now: Instant,
) -> Option<(Job<A>, bool)> {
    match context.queue.standing(&mut job, &context.agent, now) {
        Standing::Held => settle(context, job, &Failure::new(FailureKind::Quarantine, QUARANTINED)),
        _ if context.queue.is_unfair(&job.reply, now) => {
            settle(context, job, &Failure::new(FailureKind::Overload, UNFAIR));
        }
        standing => return Some((job, standing == Standing::Suspect)),
    }
    None
}

/// What is known of the engine of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// The engine has inspected nothing yet.
    pub(super) is_fresh: bool,
    /// This engine, or one before it on the same thread, has given a verdict.
    pub(super) has_verdict: bool,
}

/// Where jobs are inspected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// The number of the worker.
    pub(super) worker: usize,
    /// The jobs are for this worker alone, so that no other engine can try them.
    pub(super) is_only_here: bool,
}

/// Has the engine inspect these jobs and settles each as soon as its outcome is known. Jobs that the engine does not begin
/// with go back to the queue. `start` is when the worker took the jobs.
///
/// # Errors
/// When the engine died: the worker's thread ends with this exit.
pub(super) fn process<A: Agent>(
    context: &WorkerContext<A>,
    engine: &mut A::Engine,
    record: &mut Record,
    jobs: impl Iterator<Item = Job<A>>,
    seat: Seat,
    start: Instant,
    log: &Logger,
) -> Result<(), Exit> {
    let (mut requests, mut open) = (Vec::new(), Vec::new());
    for Job { request, dialect, deadline, reply, history } in jobs {
        requests.push(request);
        open.push(Open { history, waiting: Some(Waiting { dialect, deadline, reply }) });
    }
    let was_fresh = std::mem::take(&mut record.is_fresh);
    let mut batch = Batch {
        context,
        worker: seat.worker,
        requests: &requests,
        open,
        last: start,
        death: None,
        record,
        log,
    };
    context.board.begin(seat.worker, start);
    let all: Vec<_> = requests.iter().map(AsRef::as_ref).collect();
    let inspect = AssertUnwindSafe(|| {
        engine.inspect(&all, &mut |place, inspected| batch.take(place, inspected));
    });
    let mut has_panicked = false;
    if let Err(panic) = catch_unwind(inspect) {
        has_panicked = true;
        let failure = Failure::new(FailureKind::Crash, text_of(&*panic));
        match batch.open.iter().position(|open| open.waiting.is_some()) {
            Some(place) => batch.take(place, Err(EngineError::Dead(failure))),
            // Every request is settled, so none of them is to blame.
            None => batch.death = Some(Death { place: None, failure, is_new: false }),
        }
    }
    let Batch { open, death, .. } = batch;
    let killer = death.as_ref().and_then(|death| death.place);
    let mut killed = None;
    for (place, (request, open)) in requests.into_iter().zip(open).enumerate() {
        if killer == Some(place) {
            killed = Some((request, open));
        } else if let Some(waiting) = open.waiting {
            context.queue.give_back(waiting.job(request, open.history));
        }
    }
    let Some(Death { failure, is_new, .. }) = death else { return Ok(()) };
    // Asked for after the answers: it may take a moment.
    let cause = if has_panicked { None } else { engine.cause_of_end() };
    let cause = cause.unwrap_or(CauseOfEnd { text: failure.cause.into_owned(), may_be_request: true });
    let Some((request, mut open)) = killed else { return Err(Exit::idle_end(cause.text)) };
    let mut held = None;
    let quarantine = context.queue.quarantine();
    let fingerprint = open.history.fingerprint(&*context.agent, &request);
    if cause.may_be_request && !is_new {
        // A message for this worker alone cannot be tried elsewhere: its second death in a row has to do.
        let is_proof = seat.is_only_here || (was_fresh && killer == Some(0));
        held = quarantine.blame(fingerprint, is_proof, Instant::now());
        held.iter().for_each(|_| context.stats.quarantined.increment());
    } else if is_new && !cause.may_be_request {
        quarantine.acquit(|| fingerprint);
    }
    let failure = Failure::new(failure.kind, cause.text);
    if let Some(waiting) = open.waiting {
        let now = Instant::now();
        let load = waiting.settle(context, &request, Err(&failure));
        context.queue.admission().served(now - start, load.as_ref(), now);
    }
    context.peer_log.failure(&failure, &*request);
    Err(Exit::EngineDied { cause: failure.cause.into_owned(), request: Some(description(&*request)), held })
}

/// The jobs that an engine inspects in one call.
struct Batch<'a, A: Agent> {
    context: &'a WorkerContext<A>,
    worker: usize,
    requests: &'a [Arc<A::Request>],
    /// Each job without its request.
    open: Vec<Open<A>>,
    /// When the job before was settled, or the worker took the first.
    last: Instant,
    death: Option<Death>,
    record: &'a mut Record,
    log: &'a Logger,
}

/// A job without its request.
struct Open<A: Agent> {
    history: History,
    /// Taken out when the job is settled or given back.
    waiting: Option<Waiting<A>>,
}

/// What an answer to a job needs.
struct Waiting<A: Agent> {
    dialect: A::Dialect,
    deadline: Instant,
    reply: Reply,
}

impl<A: Agent> Waiting<A> {
    /// The job again.
    fn job(self, request: Arc<A::Request>, history: History) -> Job<A> {
        Job { request, dialect: self.dialect, deadline: self.deadline, reply: self.reply, history }
    }

    fn settle(
        self,
        context: &WorkerContext<A>,
        request: &A::Request,
        outcome: Result<&A::Verdict, &Failure>,
    ) -> Option<Place> {
        let counted = match outcome {
            Ok(verdict) => Outcome::Inspected(context.agent.classify(request, verdict)),
            Err(failure) => Outcome::Failed(failure.kind),
        };
        self.reply.settle(context.agent.answer(self.dialect, Some(request), outcome).into_payload(), counted)
    }
}

/// The end of an engine.
struct Death {
    /// The index of the request that is lost with it, if one is.
    place: Option<usize>,
    failure: Failure,
    /// The request was no suspect before.
    is_new: bool,
}

impl<A: Agent> Batch<'_, A> {
    /// Takes the outcome of the job at this index.
    fn take(&mut self, place: usize, inspected: Result<A::Verdict, EngineError>) {
        let (context, agent) = (self.context, &self.context.agent);
        let quarantine = context.queue.quarantine();
        let (Some(request), Some(open)) = (self.requests.get(place), self.open.get_mut(place)) else {
            return;
        };
        let outcome = match inspected {
            Ok(verdict) => Ok(verdict),
            Err(EngineError::DeadBefore(failure)) => {
                self.death = Some(Death { place: None, failure: failure.clone(), is_new: false });
                // Given back by `process`.
                if !std::mem::replace(&mut open.history.was_passed_on, true) {
                    return;
                }
                Err(failure)
            }
            Err(EngineError::NotBegun) => {
                if let Some(waiting) = open.waiting.take() {
                    context.queue.give_back(waiting.job(Arc::clone(request), open.history));
                }
                return;
            }
            Err(EngineError::Dead(failure)) => {
                // Before the answer: the client may send the request again as soon as it has the answer.
                let fingerprint = open.history.fingerprint(&**agent, request);
                let is_new = quarantine.suspect(fingerprint, Instant::now());
                self.death = Some(Death { place: Some(place), failure: failure.clone(), is_new });
                if !is_new {
                    // Answered by `process`, when the cause is known: it may begin a hold.
                    return;
                }
                Err(failure)
            }
            Err(EngineError::Request(cause)) => Err(Failure::new(FailureKind::Engine, cause)),
            Err(EngineError::Refused(failure)) => Err(failure),
        };
        let load = open.waiting.take().and_then(|waiting| waiting.settle(context, request, outcome.as_ref()));
        match outcome {
            Ok(verdict) => {
                self.record.has_verdict = true;
                quarantine.acquit(|| open.history.fingerprint(&**agent, request));
                context.queue.admission().count_verdict();
                agent.record(request, &verdict, self.log);
            }
            // Logged by `process`, when the cause is known.
            Err(_) if self.death.as_ref().is_some_and(|death| death.place == Some(place)) => {}
            Err(failure) => context.peer_log.failure(&failure, &**request),
        }
        let now = Instant::now();
        let time = now - std::mem::replace(&mut self.last, now);
        context.queue.admission().served(time, load.as_ref(), now);
        context.stats.stage(Stage::Engine).observe(time);
        if place + 1 < self.requests.len() {
            context.board.begin(self.worker, now);
        }
    }
}
