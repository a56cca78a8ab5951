//! Engines whose zygote died: the kernel ends them, and somebody must take note, or their numbers stay taken (zombies).
//!
//! That is this process where it is the first of a container. It asks for it everywhere else, so that it need not know.

use std::thread;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use slog::{Logger, warn};

/// From now on the processes of a zygote that dies become this process's children.
pub(super) fn adopt(log: &Logger) {
    if let Err(errno) = prctl::set_child_subreaper(true) {
        warn!(log, "cannot adopt engines whose zygote dies; they are left to the system"; "error" => %errno);
    }
}

/// Takes note of the ends of all that the zygote with this number has left, which has itself ended and leads their group.
/// Does not wait for them.
pub(super) fn reap(zygote: Pid, log: &Logger) {
    let group = Pid::from_raw(-zygote.as_raw());
    // One may be in the middle of what cannot be interrupted.
    let reap = move || while matches!(waitpid(group, None), Ok(_) | Err(Errno::EINTR)) {};
    if let Err(error) = thread::Builder::new().name("orphans".to_owned()).spawn(reap) {
        warn!(log, "ended engines stay in the list of processes"; "error" => %error);
    }
}
