//! What the tree needs to know of the program above it: the engine that it supervises, and the meaning of messages.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use crossbeam::channel::{self, Receiver};
use slog::Logger;

use crate::spop::ActionList;

/// Something that inspects requests, one after the other. It lives on one worker's thread, is made there and dropped there.
pub trait Engine {
    /// What it inspects.
    type Request;
    /// What it finds.
    type Verdict;

    /// Inspects these requests in their order, and tells what comes of each by its place: in their order too, but for what
    /// needs no engine, and [`EngineError::NotBegun`]. It returns early when the engine is dead. A panic counts as
    /// [`EngineError::Dead`].
    fn inspect(
        &mut self,
        requests: &[&Self::Request],
        outcome: &mut dyn FnMut(usize, Result<Self::Verdict, EngineError>),
    );

    /// Requests that are worth handing over together now, if each is cheap.
    fn at_a_time(&self) -> usize {
        1
    }

    /// Replaces what inspects by what [`Agent::start_engine`] would make now, and keeps what others may come back for.
    fn renew(&mut self) -> Result<(), StartError> {
        Ok(())
    }

    /// Between two requests: replaces what inspects, if it has done so for long enough, and keeps what others may come back
    /// for; whether it did.
    fn recycle(&mut self) -> bool {
        false
    }

    /// Does what there is to do when nothing is to be inspected; gives the time until there may be more to do.
    fn tidy_up(&mut self) -> Option<Duration> {
        None
    }

    /// A channel that is closed when the engine dies while it has nothing to do. One that lives in the worker's thread
    /// cannot.
    fn end(&self) -> Receiver<Infallible> {
        channel::never()
    }

    /// How it died by itself, if it did: asked for the log, once the request that it had is settled. May wait for the
    /// news a moment.
    fn cause_of_end(&self) -> Option<String> {
        None
    }
}

/// The whole of [`Engine::inspect`] for an engine that has one request at a time.
pub fn one_by_one<R, V>(
    requests: &[&R],
    outcome: &mut dyn FnMut(usize, Result<V, EngineError>),
    mut inspect: impl FnMut(&R) -> Result<V, EngineError>,
) {
    for (place, request) in requests.iter().enumerate() {
        let inspected = inspect(request);
        let is_dead = matches!(inspected, Err(EngineError::Dead(_) | EngineError::DeadBefore(_)));
        outcome(place, inspected);
        if is_dead {
            return;
        }
    }
}

/// Why an engine has no verdict on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// This request could not be inspected; the engine goes on.
    Request(String),
    /// This request was not to be inspected; the engine goes on.
    Refused(Failure),
    /// The engine died of it, or had to be ended: the request is settled with this failure, and the worker is replaced.
    Dead(Failure),
    /// The engine was dead before it got the request: another one gets it, and the worker is replaced.
    DeadBefore(Failure),
    /// The engine is kept by another request and has not begun with this one: whichever engine is free gets it.
    NotBegun,
}

/// Why an engine could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

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

    /// Makes a request of the payload of a NOTIFY. An error is answered as such and logged; it never closes the link.
    fn decode(&self, payload: &Bytes) -> Result<Self::Request, Failure>;

    /// How the message in the payload of a NOTIFY is to be answered.
    fn dialect(&self, payload: &Bytes) -> Self::Dialect;

    /// The actions that tell HAProxy of the outcome: at least one, and the deciding one first. Without the request (it
    /// could not be decoded, or a worker still has it) the dialect has to do.
    fn answer(
        &self,
        request: Result<&Self::Request, Self::Dialect>,
        outcome: Result<&Self::Verdict, &Failure>,
    ) -> ActionList;

    /// Tells the log what the engine found. Called on the worker's thread once the answer is on its way.
    fn record(&self, request: &Self::Request, verdict: &Self::Verdict, log: &Logger);

    /// HAProxy checked the agent's health on a link of its own.
    fn health_check(&self) {}

    /// Called about once a second: the occasion to tell the log of what showed over time.
    fn review(&self, _: &Logger) {}
}

/// Why nobody inspected a request: what HAProxy reads in `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It could not be answered within its deadline, or took an engine more time than allowed.
    Timeout,
    /// More came than can be inspected: there was no room for it in the queue, or too much in front of it.
    Overload,
    /// The engine died of it, or while it was at it.
    Crash,
    /// It has crashed engines before.
    Quarantine,
    /// The engine reported an error.
    Engine,
    /// The message could not be understood.
    Invalid,
    /// Only a part of it came, and a part is not to be inspected.
    Truncated,
    /// It came in fragments that are more than the largest payload.
    TooLarge,
    /// The agent is going down.
    Shutdown,
}

impl FailureKind {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::Overload,
        Self::Crash,
        Self::Quarantine,
        Self::Engine,
        Self::Invalid,
        Self::Truncated,
        Self::TooLarge,
        Self::Shutdown,
    ];

    /// The value of `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Overload => "overload",
            Self::Crash => "crash",
            Self::Quarantine => "quarantine",
            Self::Engine => "engine",
            Self::Invalid => "invalid",
            Self::Truncated => "truncated",
            Self::TooLarge => "too-large",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why nobody inspected one request, with what the log should say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for HAProxy.
    pub kind: FailureKind,
    /// The cause, for the log. It holds no unescaped bytes of a peer's.
    pub cause: Cow<'static, str>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, cause: cause.into() }
    }
}
