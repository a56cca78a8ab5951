//! Which engines the zygote has forked, and how they ended: what the zygote host's thread and the workers share.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, Sender};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::channel::Alarm;
use super::spawn_error::{NoFork, SpawnError};

/// What the zygote host's thread and the workers share.
#[derive(Default)]
pub(super) struct SharedState {
    state: Mutex<State>,
    /// Notified after each change of the state.
    pub(super) changed: Condvar,
}

/// The zygote that lives, and its engines.
#[derive(Default)]
pub(super) struct State {
    /// The living zygote and its control socket, once it has loaded its rules.
    pub(super) zygote: Option<(Pid, Arc<OwnedFd>)>,
    pub(super) next_token: u64,
    /// The alarms of workers whose spawn orders are not answered yet, by token.
    pub(super) alarms: HashMap<u64, Alarm>,
    /// Answers to spawn orders that their workers have not collected yet, by token.
    pub(super) answers: HashMap<u64, Answer>,
    /// Engines by pid, until their workers forget them.
    pub(super) engines: HashMap<i32, EngineState>,
    /// Whether an engine of this zygote has ended.
    pub(super) has_lost_engines: bool,
    /// Whether a spare can take this zygote's place.
    pub(super) has_spare: bool,
    /// Whether log files were to be opened anew and no zygote has reported that they are: a spare that takes over has the
    /// old ones.
    pub(super) logs_are_stale: bool,
    /// Whether the handle has been dropped.
    pub(super) stopping: bool,
}

/// The answer to a spawn order: the engine's pid and a channel that closes when the engine ends.
pub(super) type Answer = Result<(i32, Receiver<Infallible>), NoFork>;

/// The state of an engine that its worker has not forgotten.
pub(super) enum EngineState {
    /// The engine runs. Dropping this closes the channel first, so that the worker finds it closed when the alarm wakes
    /// it.
    Runs { _end: Sender<Infallible>, _alarm: Alarm },
    /// The engine has ended.
    Ended(EngineExit),
}

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineExit {
    /// By a signal of this number.
    Signal(i32),
    /// By itself, with this exit status.
    Status(i32),
    /// With its zygote: the kernel ends the engines of a zygote that dies.
    ZygoteDied,
}

impl fmt::Display for EngineExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => f.write_str(signal.as_str()),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::ZygoteDied => f.write_str("its zygote died"),
        }
    }
}

impl State {
    /// Notes an engine that was forked, for the worker that waits for it. Returns `false` when no worker waits.
    pub(super) fn spawned(&mut self, token: u64, pid: i32) -> bool {
        let Some(alarm) = self.alarms.remove(&token) else { return false };
        let (sender, end) = channel::bounded(0);
        self.engines.insert(pid, EngineState::Runs { _end: sender, _alarm: alarm });
        self.answers.insert(token, Ok((pid, end)));
        true
    }

    /// Gives up the wait for the answer to a spawn order. Returns the answer if it has come at the last moment.
    ///
    /// # Errors
    /// [`SpawnError::NoAnswer`], or the answer's own.
    pub(super) fn give_up(&mut self, token: u64) -> Result<(i32, Receiver<Infallible>), SpawnError> {
        self.alarms.remove(&token);
        self.answers
            .remove(&token)
            .map_or(Err(SpawnError::NoAnswer), |answer| answer.map_err(SpawnError::Fork))
    }
}

impl SharedState {
    /// The state, for this thread alone.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `found` returns something, at most `patience`.
    pub(super) fn wait<T>(
        &self,
        patience: Duration,
        mut found: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(found) = found(&mut state) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::channel::WorkerEnd;
    use super::*;

    #[test]
    fn an_engine_that_comes_after_its_worker_gave_up_has_no_entry() {
        let mut state = State::default();
        let (worker, _memory) = WorkerEnd::create().unwrap();
        state.alarms.insert(1, worker.alarm());
        state.alarms.insert(2, worker.alarm());
        assert!(
            state.spawned(1, 77) && state.give_up(1).is_ok_and(|(pid, _)| pid == 77),
            "at the last moment"
        );
        assert!(matches!(state.give_up(2), Err(SpawnError::NoAnswer)));
        assert!(!state.spawned(2, 78));
        assert_eq!((state.engines.len(), state.answers.len(), state.alarms.len()), (1, 0, 0));
    }
}
