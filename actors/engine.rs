//! The engine: what a worker's thread owns and has requests inspected by.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use crossbeam::channel::{self, Receiver};

use crate::failure::Failure;

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
    fn reload(&mut self) -> Result<(), StartError> {
        Ok(())
    }

    /// Between two requests: replaces what inspects, if it has done so for long enough, and keeps what others may come back
    /// for; whether it did.
    fn recycle(&mut self) -> bool {
        false
    }

    /// Does what there is to do when nothing is to be inspected; gives the time until there may be more to do.
    fn housekeeping(&mut self) -> Option<Duration> {
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
