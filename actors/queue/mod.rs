//! The bounded queue: it takes jobs from the Connections that decoded them and gives them to the workers.

mod admission;
mod fairness;
mod job;
mod quarantine;
mod recent;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam::channel::{self, Receiver, Sender, TrySendError};

use crate::agent::Agent;
use crate::failure::{Failure, FailureKind};
use admission::TOO_LATE;
pub(crate) use admission::{Admission, Place, UNFAIR};
pub use fairness::ClientKey;
pub(crate) use job::{History, Job, Outcome, Reply, Settled};
pub(crate) use quarantine::{Quarantine, Standing};

/// The cause in the log of a request in quarantine.
pub(crate) const QUARANTINED: &str = "a request like this has crashed two engines";

/// The cause in the log of a request that comes or waits while the pool is down.
pub(crate) const DOWN: &str = "no engine runs";

/// Why the pool does not answer while engines die of every request.
const SICK: &str = "engines die of every request";

/// Both ends of a lane: a channel of jobs.
type Lane<A> = (Sender<Job<A>>, Receiver<Job<A>>);

/// The lanes between Connections and workers, and what decides which jobs are admitted.
pub(crate) struct Queue<A: Agent> {
    shared: Lane<A>,
    /// Jobs that an engine did not begin with; they have waited longest. There are never more of them than the workers have
    /// taken at a time.
    returned: Lane<A>,
    /// Jobs for one worker alone ([`Agent::affinity`]), by the number of the worker less 1.
    own: Arc<[Lane<A>]>,
    /// Which workers cannot take what is in their own lanes, by their number less 1: they wait for an engine.
    closed: Arc<[AtomicBool]>,
    admission: Arc<Admission>,
    quarantine: Arc<Quarantine>,
    /// Engines run, and die of every request.
    sick: Arc<AtomicBool>,
    /// The tree is about to stop.
    leaving: Arc<AtomicBool>,
    /// The most jobs that may wait for any worker.
    capacity: usize,
}

/// How the pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It answers.
    Up {
        /// How much of what it can take it has, in percent: the room for jobs that wait, or the time within which they are to
        /// be answered, whichever is used more.
        load: u8,
    },
    /// It does not, and why.
    Down(&'static str),
}

impl<A: Agent> Clone for Queue<A> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            returned: self.returned.clone(),
            own: Arc::clone(&self.own),
            closed: Arc::clone(&self.closed),
            admission: Arc::clone(&self.admission),
            quarantine: Arc::clone(&self.quarantine),
            sick: Arc::clone(&self.sick),
            leaving: Arc::clone(&self.leaving),
            capacity: self.capacity,
        }
    }
}

impl<A: Agent> Queue<A> {
    /// A queue for at most `capacity` jobs that any worker may take, and as many divided by the number of workers for each
    /// worker alone.
    pub(crate) fn new(capacity: usize, workers: usize, admission: Arc<Admission>) -> Self {
        let own = std::iter::repeat_with(|| channel::bounded(capacity.div_ceil(workers.max(1))));
        Self {
            shared: channel::bounded(capacity),
            returned: channel::unbounded(),
            own: own.take(workers).collect(),
            closed: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            admission,
            quarantine: Arc::default(),
            sick: Arc::default(),
            leaving: Arc::default(),
            capacity,
        }
    }

    /// Admits a job.
    ///
    /// # Errors
    /// When the job is not admitted: why, and the job, which the caller has to answer.
    // The job goes back to the caller as it came, which costs less than a box for each refusal.
    #[allow(clippy::result_large_err)]
    pub(crate) fn offer(&self, mut job: Job<A>, agent: &A, now: Instant) -> Result<(), (Failure, Job<A>)> {
        let refusal = if self.admission.is_down() {
            Failure::new(FailureKind::Crash, DOWN)
        } else if self.standing(&mut job, agent, now) == Standing::Held {
            Failure::new(FailureKind::Quarantine, QUARANTINED)
        } else {
            let own = agent.affinity(&job.request).and_then(|worker| self.own_lane(worker));
            let place = match own {
                Some((own, _)) => {
                    self.admission.admits_to_one(own.len(), now).then_some(None).ok_or(TOO_LATE)
                }
                None => {
                    let client = agent.client(&job.request);
                    self.admission.admit(client, self.shared.0.len(), now).map(Some)
                }
            };
            match place {
                Ok(place) => {
                    job.reply.set_place(place);
                    let (sender, _) = own.unwrap_or(&self.shared);
                    return sender.try_send(job).map_err(|refused| match refused {
                        TrySendError::Full(job) => {
                            (Failure::new(FailureKind::Overload, "the queue is full"), job)
                        }
                        TrySendError::Disconnected(job) => {
                            (Failure::new(FailureKind::Shutdown, "no workers"), job)
                        }
                    });
                }
                Err(cause) => Failure::new(FailureKind::Overload, cause),
            }
        };
        Err((refusal, job))
    }

    /// The lane of this worker alone, if the worker can take what is in it.
    fn own_lane(&self, worker: usize) -> Option<&Lane<A>> {
        let index = worker.checked_sub(1)?;
        let is_closed = self.closed.get(index)?.load(Ordering::Relaxed);
        self.own.get(index).filter(|_| !is_closed)
    }

    /// Lets any worker take what is for this one alone, and comes for it from now on: what its engine had is gone with it, and
    /// the worker has to wait for another.
    pub(crate) fn close_own(&self, worker: usize) {
        let Some(index) = worker.checked_sub(1) else { return };
        if let (Some(closed), Some((_, lane))) = (self.closed.get(index), self.own.get(index)) {
            closed.store(true, Ordering::Relaxed);
            lane.try_iter().for_each(|job| self.give_back(job));
        }
    }

    /// Undoes [`close_own`](Self::close_own): the worker has an engine.
    pub(crate) fn open_own(&self, worker: usize) {
        if let Some(closed) = worker.checked_sub(1).and_then(|index| self.closed.get(index)) {
            closed.store(false, Ordering::Relaxed);
        }
    }

    /// Whether health checks succeed: engines run and do not die of every request, and the tree is not about to stop.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.admission.is_down()
            && !self.sick.load(Ordering::Relaxed)
            && !self.leaving.load(Ordering::Relaxed)
    }

    /// Has health checks fail, because the tree is about to stop.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// How the pool is.
    pub(crate) fn condition(&self, now: Instant) -> Condition {
        if self.admission.is_down() {
            return Condition::Down(DOWN);
        }
        if self.sick.load(Ordering::Relaxed) {
            return Condition::Down(SICK);
        }
        let room = self.shared.0.len() * 100 / self.capacity.max(1);
        Condition::Up { load: self.admission.percent_of_budget(now).max(room.min(100) as u8) }
    }

    /// Sets whether engines die of every request, and returns whether that is a change.
    pub(crate) fn set_sick(&self, sick: bool) -> bool {
        self.sick.swap(sick, Ordering::Relaxed) != sick
    }

    /// What the quarantine says of this job's request.
    pub(crate) fn standing(&self, job: &mut Job<A>, agent: &A, now: Instant) -> Standing {
        let Job { request, history, .. } = job;
        self.quarantine.standing(|| history.fingerprint(agent, request), now)
    }

    /// Takes a job back that an engine did not begin with.
    pub(crate) fn give_back(&self, job: Job<A>) {
        // The queue holds the receiver too, so the channel is never closed.
        let _ = self.returned.0.send(job);
    }

    /// The lanes of the worker with this number, in the order in which it looks for jobs: its own, the returned, the shared.
    pub(crate) fn receivers(&self, worker: usize) -> [Receiver<Job<A>>; 3] {
        let own = worker.checked_sub(1).and_then(|index| self.own.get(index));
        let own = own.map_or_else(channel::never, |(_, own)| own.clone());
        [own, self.returned.1.clone(), self.shared.1.clone()]
    }

    /// More jobs for a worker that has taken one: at most `limit`, and at most its share of those that wait for any worker.
    pub(crate) fn more(&self, limit: usize) -> impl Iterator<Item = Job<A>> {
        let (returned, shared) = (&self.returned.1, &self.shared.1);
        let share = (returned.len() + shared.len()) / self.own.len().max(1);
        returned.try_iter().chain(shared.try_iter()).take(share.min(limit))
    }

    /// The number of jobs that wait.
    pub(crate) fn depth(&self) -> usize {
        self.own.iter().chain([&self.returned, &self.shared]).map(|(lane, _)| lane.len()).sum()
    }

    /// All jobs that wait.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Job<A>> {
        let lanes = self.own.iter().chain([&self.returned, &self.shared]);
        lanes.flat_map(|(_, lane)| lane.try_iter())
    }

    /// Whether this job, which a worker has taken, is to be refused in favour of those that wait.
    pub(crate) fn is_unfair(&self, reply: &Reply, now: Instant) -> bool {
        reply.place().is_some_and(|place| place.is_unfair(self.shared.0.len(), now))
    }

    /// What decides by the load of the pool.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The requests that killed engines.
    pub(crate) fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }
}
