//! A gate through which engines in threads go with each message, and which closes for a moment while no engine may write to
//! its logs.
//!
//! ModSecurity 2.9 writes a record in pieces: when another file comes under the descriptor's number between two of them, the
//! record is torn.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the gate waits for those inside: longer than nearly all requests take, and not so long that those outside seem
/// to stand still. Who is inside for longer loops or waits, and hardly writes.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    inside: usize,
    is_closed: bool,
}

/// The gate.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

/// Somebody inside, until dropped. An engine that crashed stays inside for good.
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    /// Goes inside, after the gate has opened.
    pub(super) fn enter(&self) -> Pass<'_> {
        let open = self.changed.wait_while(self.lock(), |state| state.is_closed);
        open.unwrap_or_else(PoisonError::into_inner).inside += 1;
        Pass(self)
    }

    /// Does this while nobody is inside, or after some patience.
    pub(super) fn while_closed<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        state.is_closed = true;
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| state.inside > 0);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // With the lock: nobody enters or leaves meanwhile.
        let done = work();
        state.is_closed = false;
        drop(state);
        self.changed.notify_all();
        done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.inside -= 1;
        let is_last = state.is_closed && state.inside == 0;
        drop(state);
        if is_last {
            self.0.changed.notify_all();
        }
    }
}
