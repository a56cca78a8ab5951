//! A job: one request on its way from a Connection to a worker, and the way of its answer back.

use std::sync::Arc;
use std::time::Instant;

use actix::{Message, Recipient};

use super::Place;
use crate::agent::Agent;
use crate::failure::FailureKind;
use crate::spop::Actions;

/// One request on its way to a worker.
pub(crate) struct Job<A: Agent> {
    /// The request to inspect. Its Connection holds it too, to name it in the log when the job is overdue.
    pub(crate) request: Arc<A::Request>,
    /// How the request is to be answered.
    pub(crate) dialect: A::Dialect,
    /// When the Connection settles the job as a timeout, if no worker has settled it.
    pub(crate) deadline: Instant,
    /// Takes the answer.
    pub(crate) reply: Reply,
    /// What has happened to the job so far.
    pub(crate) history: History,
}

/// What has happened to a job.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct History {
    /// The fingerprint of its request, once somebody needed it.
    fingerprint: Option<u64>,
    /// An engine died before it began with the job. The next engine that does so is the last that gets it.
    pub(crate) was_passed_on: bool,
}

impl History {
    /// The fingerprint of the job's request, which is computed once.
    pub(crate) fn fingerprint<A: Agent>(&mut self, agent: &A, request: &A::Request) -> u64 {
        *self.fingerprint.get_or_insert_with(|| agent.fingerprint(request))
    }
}

/// Tells the Connection the answer to a job.
///
/// The Connection knows the jobs that it has not acknowledged by ticket, and takes the first answer to each.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Settled {
    /// The ticket of the job.
    pub(crate) ticket: u64,
    /// The payload of the ACK, and what it says; `None` when the job was dropped with a thread that ended.
    pub(crate) answer: Option<(Actions, Outcome)>,
}

/// What an answer says, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The request was inspected, with a verdict of this class ([`Agent::classify`]).
    Inspected(u32),
    /// It was not.
    Failed(FailureKind),
}

/// Takes the answer to one job. Dropped without an answer, it tells the Connection that the job is lost.
pub(crate) struct Reply {
    connection: Recipient<Settled>,
    ticket: u64,
    settled: bool,
    /// The job's part of the load, if any worker may take it.
    place: Option<Place>,
}

impl Reply {
    /// For the job with this ticket of this Connection.
    pub(crate) fn new(connection: Recipient<Settled>, ticket: u64) -> Self {
        Self { connection, ticket, settled: false, place: None }
    }

    /// Whether the Connection still lives.
    pub(crate) fn is_awaited(&self) -> bool {
        self.connection.connected()
    }

    /// Gives the job its part of the load until it is settled.
    pub(crate) fn set_place(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// The job's part of the load.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Counts that a worker has taken the job.
    pub(crate) fn begin(&mut self) {
        self.place.iter_mut().for_each(Place::begin);
    }

    /// Sends the answer. Returns the job's part of the load.
    pub(crate) fn settle(mut self, actions: Actions, outcome: Outcome) -> Option<Place> {
        self.send(Some((actions, outcome)));
        self.place.take()
    }

    /// Sends nothing: the Connection has settled the job, or will at its deadline.
    pub(crate) fn forget(mut self) {
        self.settled = true;
    }

    fn send(&mut self, answer: Option<(Actions, Outcome)>) {
        self.settled = true;
        self.connection.do_send(Settled { ticket: self.ticket, answer });
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.settled {
            self.send(None);
        }
    }
}
