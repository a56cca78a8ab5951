//! The spare: a copy of the zygote, forked right after the zygote has loaded its rules. It waits on a control socket of
//! its own and takes over when the zygote dies. So recovery reads no file, and what an editor has left on the disk
//! meanwhile comes into force with a reload only.
//!
//! The spare is a child of the front and not of the zygote, as the kernel ends the children of a zygote that dies. It
//! ends when its control socket is closed, by the front or by the front's end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::restart::{RestartPolicy, Restarts};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;
use slog::{Logger, info, warn};

use super::control::{MAX_MESSAGE, Order, Report};
use super::spawn_error::NoFork;
use super::zygote_process::{self, ZygoteProcess};
use crate::ffi::processes;

/// How long a zygote may take to fork a spare.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a zygote without a spare gets another: a copy of a process costs a millisecond, but one that always ends must
/// not keep the zygote from forking engines.
const POLICY: RestartPolicy = RestartPolicy {
    intensity: 3,
    period: Duration::from_secs(10),
    first_delay: Duration::from_millis(100),
    max_delay: Duration::from_secs(5),
};

/// The spare of a zygote, and when to ask for another.
pub(super) struct Spare {
    process: Option<SpareProcess>,
    /// The one before, until a newer one has reported: meanwhile the zygote may die.
    previous: Option<ZygoteProcess>,
    restarts: Restarts,
    /// When the zygote is asked for a spare that is missing; `None` while it still loads its rules.
    due: Option<Instant>,
    /// The log has said that there is no spare.
    is_missed: bool,
}

struct SpareProcess {
    control: OwnedFd,
    /// `None` until the spare has reported.
    pid: Option<Pid>,
}

impl Spare {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { process: None, previous: None, restarts: Restarts::new(POLICY), due: None, is_missed: false }
    }

    /// The socket to the spare, for poll(2).
    pub(super) fn control(&self) -> Option<&OwnedFd> {
        self.process.as_ref().map(|process| &process.control)
    }

    /// Whether a zygote that dies now is replaced without reading the rules.
    pub(super) fn is_there(&self) -> bool {
        self.previous.is_some() || self.process.as_ref().is_some_and(|process| process.pid.is_some())
    }

    /// The time until [`ask`](Self::ask) is to be called; `None`: the spare is there, or the zygote is not ready.
    pub(super) fn due(&self) -> Option<Duration> {
        Some(self.due.filter(|_| self.process.is_none())?.saturating_duration_since(Instant::now()))
    }

    /// Asks a zygote that has loaded its rules for a spare. The answer comes on the spare's own socket.
    pub(super) fn ask(&mut self, zygote: &ZygoteProcess, log: &Logger) {
        match order(zygote) {
            Ok(control) => self.process = Some(SpareProcess { control, pid: None }),
            Err(error) => self.missing(&error.to_string(), log),
        }
    }

    /// Reads what the spare, or the zygote in its place, has written.
    pub(super) fn hear(&mut self, log: &Logger) {
        let Some(process) = &mut self.process else { return };
        match receive(&process.control) {
            Some(Report::Spare { pid }) => {
                process.pid = Some(Pid::from_raw(pid));
                self.previous.take().map(zygote_process::end);
                if std::mem::take(&mut self.is_missed) {
                    info!(log, # "spare_zygote_ready", "spare zygote is there again"; "process" => pid);
                }
            }
            Some(Report::NotSpawned { errno, .. }) => {
                self.process = None;
                self.missing(&NoFork(Errno::from_raw(errno)).to_string(), log);
            }
            _ => {
                let ended = self.process.take().and_then(SpareProcess::reported).map(zygote_process::end);
                let reason = ended.unwrap_or_else(|| "it could not be forked".to_owned());
                self.missing(&reason, log);
            }
        }
    }

    /// Has another one asked for, at once or after a delay.
    fn missing(&mut self, reason: &str, log: &Logger) {
        let delay = self.restarts.next_delay(Instant::now());
        self.due = Some(Instant::now() + delay);
        if !std::mem::replace(&mut self.is_missed, true) {
            warn!(log, # "spare_zygote_missing", "no spare zygote, retrying"; "reason" => ?reason,
                "next_attempt_in_ms" => delay.as_millis() as u64);
        }
    }

    /// The spare as a zygote that has loaded its rules, in the place of one that died, and whether it is older than the last
    /// [`renew`](Self::renew); `None` when the spare is gone too.
    pub(super) fn take_over(&mut self) -> Option<(ZygoteProcess, bool)> {
        // A zygote that loads the rules is asked when it is ready.
        self.due = None;
        let newest = self.process.take().and_then(SpareProcess::reported);
        let (zygote, is_old) = match (newest, self.previous.take()) {
            (Some(newest), previous) => {
                previous.map(zygote_process::end);
                (newest, false)
            }
            (None, previous) => (previous?, true),
        };
        // The order makes the spare a zygote; the answer to it is the next spare's first report.
        match order(&zygote) {
            Ok(control) => {
                self.process = Some(SpareProcess { control, pid: None });
                Some((zygote, is_old))
            }
            Err(_) => {
                let _ = zygote_process::end(zygote);
                None
            }
        }
    }

    /// Makes a zygote's first spare due at once.
    pub(super) fn zygote_is_ready(&mut self) {
        self.due = Some(Instant::now());
    }

    /// Has the spare replaced by a newer copy of the zygote, and keeps it until that is there.
    pub(super) fn renew(&mut self) {
        if let Some(spare) = self.process.take().and_then(SpareProcess::reported) {
            self.previous.replace(spare).map(zygote_process::end);
        }
        self.due = Some(Instant::now());
    }

    /// Ends the spare. Returns how it ended.
    pub(super) fn end(&mut self) -> Option<String> {
        self.due = None;
        self.previous.take().map(zygote_process::end);
        Some(zygote_process::end(self.process.take().and_then(SpareProcess::reported)?))
    }
}

impl SpareProcess {
    /// The process, once it has reported; `None` when it was not forked.
    fn reported(self) -> Option<ZygoteProcess> {
        let Self { control, pid } = self;
        let pid = pid.or_else(|| first_report(&control))?;
        Some(ZygoteProcess { pid, control: Arc::new(control) })
    }
}

/// Makes a control socket and sends its other end to the zygote, for a spare.
fn order(zygote: &ZygoteProcess) -> io::Result<OwnedFd> {
    let (control, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    processes::send(zygote.control.as_fd(), &Order::Spare.encode(), &[theirs.as_fd()])?;
    Ok(control)
}

fn receive(control: &OwnedFd) -> Option<Report> {
    let mut buffer = [0; MAX_MESSAGE];
    let (length, _) = processes::receive(control.as_fd(), &mut buffer).ok()?;
    Report::decode(buffer.get(..length)?)
}

/// Waits for the pid of a spare that has not reported yet; `None` when no spare was forked.
fn first_report(control: &OwnedFd) -> Option<Pid> {
    let mut ready = [PollFd::new(control.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::ZERO);
    while poll(&mut ready, patience) == Err(Errno::EINTR) {}
    if ready.iter().all(|ready| ready.any() != Some(true)) {
        return None;
    }
    match receive(control)? {
        Report::Spare { pid } => Some(Pid::from_raw(pid)),
        _ => None,
    }
}
