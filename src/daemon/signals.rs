//! Signals that come before the program is ready for them: they wait, and none ends the program by its default action.

use nix::sys::signal::{SigSet, Signal};

use crate::ffi::processes;
use crate::ffi::signal_forwarding::forward_to_this_thread;

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

/// Lets SIGTERM and SIGINT wait, too, whichever thread of the process gets them: for the process that this one is about to
/// become by a call of the same thread, which would otherwise miss them.
pub(crate) fn hold_all() {
    // There is no error for signals that exist and can be caught.
    let all = [ORDERS.as_slice(), &ENDS].concat();
    let _ = all.iter().copied().collect::<SigSet>().thread_block();
    let _ = forward_to_this_thread(&all);
}

/// Lets signals come, also those that have waited.
pub(crate) fn release() {
    let _ = ORDERS.into_iter().chain(ENDS).collect::<SigSet>().thread_unblock();
}
