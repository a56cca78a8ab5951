//! Signals that come before the program is ready for them: they wait, and none ends the program by its default action.

use nix::sys::signal::{SigSet, Signal};

use crate::ffi::processes;

/// Signals with a meaning of their own, which an operator may send at any time.
const ORDERS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// Signals that end the program. They end it at once as long as it has not begun to serve.
const ENDS: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

/// Lets SIGHUP, SIGUSR1 and SIGUSR2 wait until [`release`], and makes a write beyond the limit of a file's size an error.
/// To be called first of all: threads that are started later inherit which signals wait.
pub(crate) fn hold() {
    processes::survive_file_size_limit();
    // There is no error for signals that exist.
    let _ = ORDERS.into_iter().collect::<SigSet>().thread_block();
}

/// Lets SIGTERM and SIGINT wait, too: for the process that this one is about to become, which would otherwise miss them.
pub(crate) fn hold_all() {
    let _ = ORDERS.into_iter().chain(ENDS).collect::<SigSet>().thread_block();
}

/// Lets signals come, also those that have waited.
pub(crate) fn release() {
    let _ = ORDERS.into_iter().chain(ENDS).collect::<SigSet>().thread_unblock();
}
