//! The program above the tree: what messages mean, what is answered, and how engines are made.

use bytes::Bytes;
use slog::Logger;

use crate::engine::{Engine, StartError};
use crate::failure::Failure;
use crate::queue::ClientKey;
use crate::spop::ActionList;

/// The program above the tree, shared by all Connections and Workers.
pub trait Agent: Send + Sync + 'static {
    /// A decoded message. As key-value pairs it describes itself to the log: which request, from which client.
    type Request: Clone + slog::KV + Send + Sync + Unpin + 'static;
    /// The result of an inspection.
    type Verdict: 'static;
    /// How a message is to be answered. Every payload has one, also a payload without a request in it.
    type Dialect: Copy + Send + Unpin + 'static;
    /// The engine of each worker.
    type Engine: Engine<Request = Self::Request, Verdict = Self::Verdict>;

    /// Makes the engine of a worker, on that worker's thread. Workers are numbered from 1; `log` has the number as a key.
    ///
    /// # Errors
    /// When the engine does not start. The worker is restarted after a delay that grows.
    fn start_engine(&self, worker: usize, log: &Logger) -> Result<Self::Engine, StartError>;

    /// Replaces what [`start_engine`](Self::start_engine) makes engines from (the zygote), because engines die one after the
    /// other whatever they are given.
    fn rebuild(&self);

    /// A hash of all that an engine sees of a request: quarantine takes two requests with the same fingerprint for one.
    fn fingerprint(&self, request: &Self::Request) -> u64;

    /// The worker (from 1) whose engine holds this message's transaction; `None`: any worker.
    ///
    /// If that worker was restarted meanwhile, its new engine gets the message.
    fn affinity(&self, request: &Self::Request) -> Option<usize>;

    /// The client that sent a request, for fairness among clients; `None` when it is not known, or is none of those that may
    /// be refused in favour of others.
    fn client(&self, _: &Self::Request) -> Option<ClientKey> {
        None
    }

    /// Reads the payload of a NOTIFY: how it is to be answered, and the request in it. When there is no request that can be
    /// understood, the failure is logged and is the answer; the link stays open.
    fn read(&self, payload: &Bytes) -> (Self::Dialect, Result<Self::Request, Failure>);

    /// The dialect of a NOTIFY of which only the first fragment has come.
    ///
    /// [`read`](Self::read) needs the whole payload, which may never come: such a NOTIFY is answered when its fragments are
    /// too large together or late.
    fn dialect(&self, start: &Bytes) -> Self::Dialect;

    /// The actions that tell HAProxy the outcome: at least one, with the one that decides in front.
    ///
    /// `request` is `None` when it could not be read, and when a worker still has it.
    fn answer(
        &self,
        dialect: Self::Dialect,
        request: Option<&Self::Request>,
        outcome: Result<&Self::Verdict, &Failure>,
    ) -> ActionList;

    /// The class of a verdict, which [`count`](Self::count) gets when HAProxy is told the verdict.
    fn classify(&self, _: &Self::Request, _: &Self::Verdict) -> u32 {
        0
    }

    /// Counts that HAProxy was told a verdict of this class. A verdict that comes too late is not counted.
    fn count(&self, _: u32) {}

    /// Writes to the log what the engine found. Called on the worker's thread after the answer was sent.
    fn record(&self, request: &Self::Request, verdict: &Self::Verdict, log: &Logger);

    /// Called when HAProxy has checked the agent's health, which it does on a link of its own.
    fn health_check(&self) {}

    /// Called about once a second, for log lines about what shows only over time.
    fn review(&self, _: &Logger) {}
}
