//! The bounded queue: how a job comes from the Connection that decoded it to the worker that settles it.

mod admission;
mod job;
mod quarantine;

use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::{self, Receiver, Sender, TrySendError};

use crate::agent::Agent;
use crate::failure::{Failure, FailureKind};
pub(crate) use admission::Admission;
pub(crate) use job::{Job, Reply, Settled};
use quarantine::Quarantine;

/// What the log says of a request that no engine gets any more.
pub(crate) const QUARANTINED: &str = "a request like this has crashed two engines";

/// Both ends of one line of jobs.
type Lane<A> = (Sender<Job<A>>, Receiver<Job<A>>);

/// The bounded queue between Connections and workers, and who may enter it.
pub(crate) struct Queue<A: Agent> {
    shared: Lane<A>,
    /// Those that an engine gave back: they have waited longest. Never more than all workers have had in hand at a time.
    returned: Lane<A>,
    /// Those that only one worker gets, by its number less 1.
    own: Arc<[Lane<A>]>,
    admission: Arc<Admission>,
    quarantine: Arc<Quarantine>,
}

impl<A: Agent> Clone for Queue<A> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            returned: self.returned.clone(),
            own: Arc::clone(&self.own),
            admission: Arc::clone(&self.admission),
            quarantine: Arc::clone(&self.quarantine),
        }
    }
}

impl<A: Agent> Queue<A> {
    /// A queue that holds at most `capacity` jobs for any of the workers, and its share of that for each alone.
    pub(crate) fn new(capacity: usize, workers: usize, admission: Arc<Admission>) -> Self {
        let own = std::iter::repeat_with(|| channel::bounded(capacity.div_ceil(workers.max(1))));
        Self {
            shared: channel::bounded(capacity),
            returned: channel::unbounded(),
            own: own.take(workers).collect(),
            admission,
            quarantine: Arc::default(),
        }
    }

    /// Admits a job, or says at once why not; the refused job's reply is left to the caller.
    ///
    /// What is to stand between admission and the engine (a screening stage) gets its place here.
    pub(crate) fn offer(&self, job: Job<A>, agent: &A, now: Instant) -> Result<(), (Failure, Job<A>)> {
        let refusal = if self.admission.is_down() {
            Failure::new(FailureKind::Crash, "no engine runs")
        } else if self.quarantine.holds(|| agent.fingerprint(&job.request), now) {
            Failure::new(FailureKind::Quarantine, QUARANTINED)
        } else {
            let own = agent.affinity(&job.request).and_then(|worker| self.own.get(worker.checked_sub(1)?));
            let admitted = match own {
                Some((own, _)) => self.admission.admits_to_one(own.len()),
                None => self.admission.admits(self.shared.0.len()),
            };
            if admitted {
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
            Failure::new(FailureKind::Overload, "too much in front of it to be answered in time")
        };
        Err((refusal, job))
    }

    /// Takes back a job that an engine did not begin with.
    pub(crate) fn give_back(&self, job: Job<A>) {
        // The queue has both ends, so there is no error.
        let _ = self.returned.0.send(job);
    }

    /// Where the worker of this number takes jobs from: first its own, then those of all.
    pub(crate) fn receivers(&self, worker: usize) -> [Receiver<Job<A>>; 3] {
        let own = worker.checked_sub(1).and_then(|index| self.own.get(index));
        let own = own.map_or_else(channel::never, |(_, own)| own.clone());
        [own, self.returned.1.clone(), self.shared.1.clone()]
    }

    /// More jobs for a worker that has one of all workers': at most so many, and no more than its share of what waits.
    pub(crate) fn more(&self, limit: usize) -> impl Iterator<Item = Job<A>> {
        let (returned, shared) = (&self.returned.1, &self.shared.1);
        let share = (returned.len() + shared.len()) / self.own.len().max(1);
        returned.try_iter().chain(shared.try_iter()).take(share.min(limit))
    }

    /// How loaded the pool is.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What killed engines.
    pub(crate) fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }
}
