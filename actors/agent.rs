//! The program above the tree: what messages mean, what is answered, and how engines are made.

use bytes::Bytes;
use slog::Logger;

use crate::engine::{Engine, StartError};
use crate::failure::Failure;
use crate::spop::ActionList;

/// The program on top of the tree: it knows what messages mean and what to answer, and it makes engines.
///
/// It is shared by all connections and workers.
pub trait Agent: Send + Sync + 'static {
    /// A decoded message. As key-value pairs it describes itself to the log: which request, from whom.
    type Request: Clone + slog::KV + Send + Unpin + 'static;
    /// What an engine finds.
    type Verdict: 'static;
    /// How a message is to be answered, whether it could be decoded or not.
    type Dialect: Copy + Send + Unpin + 'static;
    /// The engine of each worker.
    type Engine: Engine<Request = Self::Request, Verdict = Self::Verdict>;

    /// Makes the engine of the worker with this number (from 1), on that worker's thread. `log` is the worker's.
    fn start_engine(&self, worker: usize, log: &Logger) -> Result<Self::Engine, StartError>;

    /// Rebuilds what engines are made of: one after the other dies, whatever it is given.
    fn rebuild(&self);

    /// A number that two requests share when an engine cannot tell them apart, and hardly otherwise.
    fn fingerprint(&self, request: &Self::Request) -> u64;

    /// The number of the worker that must have it (from 1), if its engine keeps what others lack. One that is restarted
    /// meanwhile gets it all the same.
    fn affinity(&self, request: &Self::Request) -> Option<usize>;

    /// Reads the payload of a NOTIFY: how it is to be answered, and the request in it. A payload without a request that can
    /// be understood is answered with the failure, which is logged; it never closes the link.
    fn read(&self, payload: &Bytes) -> (Self::Dialect, Result<Self::Request, Failure>);

    /// How a NOTIFY is to be answered of which only the first fragment has come: it is answered before it can be read when
    /// the others do not come within the deadline, or are too large.
    fn dialect(&self, start: &Bytes) -> Self::Dialect;

    /// The actions that tell HAProxy the outcome: at least one, and the deciding one first. `request` is `None` when it could
    /// not be read, or when a worker still has it.
    fn answer(
        &self,
        dialect: Self::Dialect,
        request: Option<&Self::Request>,
        outcome: Result<&Self::Verdict, &Failure>,
    ) -> ActionList;

    /// Tells the log what the engine found. Called on the worker's thread once the answer is on its way.
    fn record(&self, request: &Self::Request, verdict: &Self::Verdict, log: &Logger);

    /// HAProxy checked the agent's health on a link of its own.
    fn health_check(&self) {}

    /// Called about once a second: the occasion to tell the log of what showed over time.
    fn review(&self, _: &Logger) {}
}
