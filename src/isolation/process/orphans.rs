//! Processes whose zygote died: the kernel ends engines then, and a process must wait for them (`wait(2)`), or they stay
//! in the list of processes as zombies.
//!
//! In a container the agent may be process 1, which gets such orphans anyway. Elsewhere the agent asks for them, so that
//! both cases are the same.

use std::thread;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use slog::{Logger, warn};

/// Makes this process the parent of all orphans among its descendants.
pub(super) fn adopt(log: &Logger) {
    if let Err(errno) = prctl::set_child_subreaper(true) {
        warn!(log, # "cannot_adopt_engines", "cannot adopt engines whose zygote dies, the system gets them"; "error" => %errno);
    }
}

/// Reaps, in the background, everything that a zygote has left behind. The zygote was the leader of their process
/// group, and has been reaped itself.
pub(super) fn reap(zygote: Pid, log: &Logger) {
    let group = Pid::from_raw(-zygote.as_raw());
    // A thread of its own, as an orphan may sit in a system call that no signal interrupts.
    let reap = move || while matches!(waitpid(group, None), Ok(_) | Err(Errno::EINTR)) {};
    if let Err(error) = thread::Builder::new().name("orphans".to_owned()).spawn(reap) {
        warn!(log, # "cannot_reap_engines", "ended engines stay in the list of processes"; "error" => %error);
    }
}
