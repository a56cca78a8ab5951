//! The engine: what a worker's thread owns and lets inspect requests.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use crossbeam::channel::{self, Receiver};

use crate::failure::Failure;

/// Inspects requests. An engine is made, used and dropped on the thread of one worker.
pub trait Engine {
    /// The requests to inspect.
    type Request;
    /// The result of an inspection.
    type Verdict;

    /// Inspects these requests, one after the other.
    ///
    /// Calls `outcome(index, result)` once per request, in order, except for those that need no engine and for
    /// [`EngineError::NotBegun`]. Returns early when the engine dies. A panic counts as [`EngineError::Dead`].
    fn inspect(
        &mut self,
        requests: &[&Self::Request],
        outcome: &mut dyn FnMut(usize, Result<Self::Verdict, EngineError>),
    );

    /// The most requests that [`inspect`](Self::inspect) should get in one call now, when each of them is cheap.
    fn at_a_time(&self) -> usize {
        1
    }

    /// Takes the new rules: replaces what inspects by what [`Agent::start_engine`](crate::Agent::start_engine) would make now.
    /// Transactions that wait for their response are kept.
    ///
    /// # Errors
    /// When the new engine does not start. The worker then ends and is restarted.
    fn reload(&mut self) -> Result<(), StartError> {
        Ok(())
    }

    /// Called between two requests: replaces what inspects if it has reached its limit of requests, and returns whether it
    /// did. Transactions that wait for their response are kept.
    fn recycle(&mut self) -> bool {
        false
    }

    /// Replaces what inspects by one that has inspected nothing, and returns whether it did. Transactions that wait for their
    /// response are kept.
    fn renew(&mut self) -> bool {
        self.reload().is_ok()
    }

    /// Called when no request is at hand: drops what is no longer needed. Returns the time until the next call is due;
    /// `None`: after the next request.
    fn housekeeping(&mut self) -> Option<Duration> {
        None
    }

    /// A channel that closes when the engine dies without a request at hand. An engine in the worker's own thread cannot die
    /// that way, so the channel never closes.
    fn end(&self) -> Receiver<Infallible> {
        channel::never()
    }

    /// How the engine died; `None`: as the failure says, and the request that it inspected may be the cause. It may wait a
    /// moment for the news.
    fn cause_of_end(&self) -> Option<CauseOfEnd> {
        None
    }
}

/// How an engine died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseOfEnd {
    /// For the log.
    pub text: String,
    /// The request that the engine inspected may be the cause. It is not where the end came from outside: somebody killed the
    /// engine, or it ended together with what engines are made from.
    pub may_be_request: bool,
}

/// Implements [`Engine::inspect`] for an engine that takes one request at a time.
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
    /// This request must not be inspected; the engine goes on.
    Refused(Failure),
    /// The engine died of this request, or had to be ended: the request is answered with the failure, and the worker is
    /// replaced.
    Dead(Failure),
    /// The engine died, or had to be ended, before it began with this request: another engine gets the request, once, and the
    /// worker is replaced.
    DeadBefore(Failure),
    /// The engine is busy with another request and has not begun with this one: the next engine that is free gets it.
    NotBegun,
}

/// Why an engine could not be started.
#[derive(Debug)]
pub struct StartError {
    cause: Box<dyn Error + Send + Sync>,
    is_shortage: bool,
}

impl StartError {
    /// For this cause: an error, or a text.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: cause.into(), is_shortage: false }
    }

    /// For a system that has no process, thread, descriptor or memory for one more engine: what engines are made from is as it
    /// should be, and a rebuild would only need more.
    pub fn shortage(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: cause.into(), is_shortage: true }
    }

    /// Whether the system lacks something.
    pub(crate) fn is_shortage(&self) -> bool {
        self.is_shortage
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for StartError {
    /// The cause of the cause: the text of the cause itself is that of this error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
