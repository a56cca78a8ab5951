//! A job, and the way its answer goes back: from the Connection that decoded it to the worker that settles it.

use std::time::Instant;

use actix::{Message, Recipient};

use crate::agent::Agent;
use crate::spop::Actions;

/// One request on its way to a worker.
pub(crate) struct Job<A: Agent> {
    /// What to inspect.
    pub(crate) request: A::Request,
    /// How to answer it.
    pub(crate) dialect: A::Dialect,
    /// When its answer is of no use any more; its Connection settles it then.
    pub(crate) deadline: Instant,
    /// Whom to tell.
    pub(crate) reply: Reply,
}

/// Tells the Connection how a job ended: the payload of the ACK.
///
/// The Connection keeps the jobs that it has not acknowledged by ticket, and takes the first end of each.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Settled {
    /// Which of its jobs.
    pub(crate) ticket: u64,
    /// The actions; `None` when the job was dropped by a worker that went away.
    pub(crate) actions: Option<Actions>,
}

/// Where the answer to one job goes. Dropped unused, it still tells the Connection that the job is gone.
pub(crate) struct Reply {
    connection: Recipient<Settled>,
    ticket: u64,
    settled: bool,
}

impl Reply {
    /// The Connection's job number `ticket`.
    pub(crate) fn new(connection: Recipient<Settled>, ticket: u64) -> Self {
        Self { connection, ticket, settled: false }
    }

    /// Whether the Connection is still there to be told.
    pub(crate) fn is_awaited(&self) -> bool {
        self.connection.connected()
    }

    /// Sends the answer.
    pub(crate) fn settle(mut self, actions: Actions) {
        self.send(Some(actions));
    }

    /// Leaves the job to the Connection: it has settled it, or will at its deadline.
    pub(crate) fn forget(mut self) {
        self.settled = true;
    }

    fn send(&mut self, actions: Option<Actions>) {
        self.settled = true;
        self.connection.do_send(Settled { ticket: self.ticket, actions });
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.settled {
            self.send(None);
        }
    }
}
