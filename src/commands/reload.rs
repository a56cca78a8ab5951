//! `reload PID`: has a running agent read its rules anew, and tells whether it could, which a signal alone does not.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{fail, print};
use crate::daemon::notify::monotonic_usec;
use crate::daemon::reload_outcome::{self, Outcome};

/// How often the outcome is looked for. Nothing tells of it, and a reload takes half a second at least.
const LOOK: Duration = Duration::from_millis(20);

/// Sends SIGHUP to the process with this id, and waits for the outcome of a reload that began after that. The exit status is
/// 1 when the old rules stay, or the process ends.
pub(super) fn reload(pid: i32) -> ExitCode {
    let pid = Pid::from_raw(pid);
    let Some(path) = reload_outcome::path() else {
        return fail(
            1,
            &"reload needs RUNTIME_DIRECTORY, the folder where the agent says how the reload went",
        );
    };
    let asked = monotonic_usec();
    if let Err(errno) = kill(pid, Signal::SIGHUP) {
        return fail(1, &format_args!("cannot send SIGHUP to process {pid}: {}", errno.desc()));
    }
    loop {
        match Outcome::read(&path).filter(|outcome| outcome.begun >= asked) {
            Some(Outcome { failure: None, .. }) => return print("rules reloaded"),
            Some(Outcome { failure: Some(cause), .. }) => {
                return fail(1, &format_args!("cannot reload, the old rules stay: {cause}"));
            }
            None if kill(pid, None) == Err(Errno::ESRCH) => {
                return fail(1, &format_args!("process {pid} has ended"));
            }
            None => thread::sleep(LOOK),
        }
    }
}
