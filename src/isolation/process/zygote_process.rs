//! The process of a zygote, as the front starts and ends it.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::engine_states::EngineExit;
use super::zygote;

/// How long a zygote may take to end: a little longer than it waits for its engines.
const LAST_GRACE: Duration = Duration::from_secs(4);

/// A zygote that is not reaped yet, and this end of its control socket.
pub(super) struct ZygoteProcess {
    pub(super) pid: Pid,
    /// Shared with the workers while they may order engines of this zygote.
    pub(super) control: Arc<OwnedFd>,
}

impl ZygoteProcess {
    /// Starts a zygote, which loads the rules that `args` name. The kernel ends it when the calling thread ends.
    ///
    /// # Errors
    /// When the system has no descriptors or no process for it.
    pub(super) fn start(args: &[OsString]) -> io::Result<Self> {
        let (control, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        // A process group of its own, as Ctrl-C on a terminal reaches the whole group: it is for the front, which still
        // needs its engines to finish.
        let child = Command::new("/proc/self/exe")
            .arg0(zygote::NAME)
            .args(args)
            .envs(tunables())
            .stdin(Stdio::from(theirs))
            .process_group(0)
            .spawn()?;
        Ok(Self { pid: Pid::from_raw(child.id() as i32), control: Arc::new(control) })
    }
}

/// The environment variable that makes glibc's malloc keep more freed small blocks in the thread's own cache, from
/// where the next transaction takes them: it halves the time that an engine without rules takes for a request. `None`
/// when the operator has set the variable.
fn tunables() -> Option<(&'static str, &'static str)> {
    const TUNABLES: &str = "GLIBC_TUNABLES";
    std::env::var_os(TUNABLES).is_none().then_some((TUNABLES, "glibc.malloc.tcache_count=128"))
}

/// Closes a zygote's control socket and waits for the zygote, which ends its engines and then itself. Kills it after
/// [`LAST_GRACE`]. Returns how it ended.
pub(super) fn end(zygote: ZygoteProcess) -> String {
    let ZygoteProcess { pid, control } = zygote;
    drop(control);
    if let Some(end) = wait(pid, LAST_GRACE) {
        return end;
    }
    // The zygote is not reaped, so the pid is still its own.
    let _ = kill(pid, Signal::SIGKILL);
    wait(pid, LAST_GRACE).unwrap_or_else(|| {
        // The zygote is in a call that no signal ends, on a file system that does not answer. A thread waits on, so that
        // it is reaped; if there is no thread, it stays a zombie until this program ends.
        let _ = thread::Builder::new().name("zygote-end".to_owned()).spawn(move || waitpid(pid, None));
        "it does not end, though it was killed".to_owned()
    })
}

/// Waits for a zygote to end, at most `patience`. Returns how it ended.
fn wait(pid: Pid, patience: Duration) -> Option<String> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => return Some(EngineExit::Status(status).to_string()),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Some(EngineExit::Signal(signal as i32).to_string());
            }
            Ok(_) | Err(Errno::EINTR) => thread::sleep(Duration::from_millis(1)),
            Err(errno) => return Some(errno.to_string()),
        }
    }
    None
}
