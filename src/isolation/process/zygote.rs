//! The zygote: loads the rules once, then forks an engine process whenever the front asks for one.
//!
//! The zygote never sees a request. Its single thread waits for orders of the front and for the ends of its children.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, close, dup2_stdin, getpid, getppid, setpgid};

use super::control::{MAX_MESSAGE, MAX_SUMMARIES, Order, Report};
use super::engine_main;
use super::sandbox::{Sandbox, SandboxSettings};
use crate::ffi::processes::{self, Twin};
use crate::modsecurity::parked::RetentionLimits;
use crate::modsecurity::{LogFiles, Rules};
use crate::rules::sources::{RuleSource, RuleSources};
use crate::rules::version::EngineVersion;

/// The program name (`argv[0]`) that makes this binary a zygote. Nobody gives a program this name by accident.
pub(super) const NAME: &str = "modsecurity-spoa-zygote";

/// How long engines may take to end by themselves once the front is done with them. The front waits a little longer for
/// the zygote.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// Whether this process was started to be a zygote.
pub fn invoked_as_zygote(args: &[OsString]) -> bool {
    args.first().map(OsString::as_os_str) == Some(OsStr::new(NAME))
}

/// The arguments of a zygote, in this order: the version of ModSecurity, how many transactions an engine may park and
/// for how many milliseconds, the engines' sandbox, the number of files with default rules, these files, and then for each file of an
/// application the application's name and the file.
pub(super) fn args(
    sources: &RuleSources,
    limits: RetentionLimits,
    sandbox: SandboxSettings,
) -> Vec<OsString> {
    let files = match &sources.default {
        RuleSource::Default => &[][..],
        RuleSource::Files(files) => files,
    };
    let mut args: Vec<OsString> = vec![
        sources.engine.number().to_string().into(),
        limits.count.to_string().into(),
        limits.ttl.as_millis().to_string().into(),
        sandbox.to_argument().into(),
        files.len().to_string().into(),
    ];
    args.extend(files.iter().map(|file| file.clone().into_os_string()));
    for (name, files) in &sources.applications {
        args.extend(files.iter().flat_map(|file| [name.into(), file.clone().into_os_string()]));
    }
    args
}

fn read_args(args: &[OsString]) -> Option<(RuleSources, RetentionLimits, SandboxSettings)> {
    let [_, engine, count, ttl, sandbox, files, rest @ ..] = args else { return None };
    let engine = EngineVersion::of_number(engine.to_str()?)?;
    let count = count.to_str()?.parse().ok()?;
    let ttl = Duration::from_millis(ttl.to_str()?.parse().ok()?);
    let sandbox = SandboxSettings::of_argument(sandbox.to_str()?)?;
    let (files, rest) = rest.split_at_checked(files.to_str()?.parse().ok()?)?;
    let default = match files {
        [] => RuleSource::Default,
        files => RuleSource::Files(files.iter().map(Into::into).collect()),
    };
    let mut applications = Vec::<(String, Vec<PathBuf>)>::new();
    for pair in rest.chunks(2) {
        let [name, file] = pair else { return None };
        let name = name.to_str()?;
        match applications.last_mut().filter(|(last, _)| last == name) {
            Some((_, files)) => files.push(file.into()),
            None => applications.push((name.to_owned(), vec![file.into()])),
        }
    }
    Some((RuleSources { engine, default, applications }, RetentionLimits { count, ttl, engines: 1 }, sandbox))
}

/// Runs a zygote, whose control socket is its standard input, until the front lets it go. Returns the exit status.
pub fn run(args: &[OsString]) -> i32 {
    processes::set_signals();
    // Without a name the process would be listed as "exe", after /proc/self/exe. A zygote works without one, too.
    let _ = prctl::set_name(c"zygote");
    // No core files: whoever can crash engines could fill the disk with them, and they would hold requests.
    if setrlimit(Resource::RLIMIT_CORE, 0, 0).is_err() {
        return 1;
    }
    // A zygote that serves sees the control socket close with the front; one that still loads does not look at it.
    if prctl::set_pdeathsig(Signal::SIGKILL).is_err() {
        return 1;
    }
    let Some((sources, limits, sandbox)) = read_args(args) else { return 1 };
    // Whoever takes over an engine must not reach the zygote's memory, nor the control socket.
    if sandbox.is_on && prctl::set_dumpable(false).is_err() {
        return 1;
    }
    match Zygote::load(&sources, limits, sandbox).and_then(Zygote::serve) {
        Ok(()) => 0,
        // The front logs what is wrong with the rules.
        Err(ServiceError::Rules) => 1,
        Err(error) => {
            eprintln!("{NAME}: {error}");
            1
        }
    }
}

/// Why a zygote ends before the front lets it go.
#[derive(Debug)]
enum ServiceError {
    /// The rules cannot be loaded, or no engine confined, and the front has been sent the reason.
    Rules,
    /// Standard input, the control socket, cannot be duplicated.
    Control(io::Error),
    /// The ends of children cannot be watched.
    Children(Errno),
    /// A call of the system failed while the zygote served the front.
    Service(Errno),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules => f.write_str("the rules cannot be loaded"),
            Self::Control(error) => write!(f, "cannot use the control socket: {error}"),
            Self::Children(errno) => write!(f, "cannot watch child processes: {errno}"),
            Self::Service(errno) => write!(f, "cannot serve the front: {errno}"),
        }
    }
}

impl std::error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rules => None,
            Self::Control(error) => Some(error),
            Self::Children(errno) | Self::Service(errno) => Some(errno),
        }
    }
}

/// A zygote with loaded rules.
struct Zygote {
    /// The socket to the front.
    control: OwnedFd,
    /// Readable when a child has ended.
    children: SignalFd,
    rules: Rules,
    /// The log files that the rules have open.
    logs: LogFiles,
    sandbox: Sandbox,
    limits: RetentionLimits,
    /// Engines that are not reaped yet.
    engines: Vec<Pid>,
    /// The front, which starts the first zygote and becomes the parent of all spares.
    front: Pid,
    /// Whether this is a spare that has not taken over.
    is_spare: bool,
}

/// Why a zygote stops to serve the front for a moment.
enum Served {
    /// The front has closed the control socket.
    Closed,
    /// The front wants a spare, which gets this control socket.
    Spare(OwnedFd),
}

/// The result of an order.
enum Obeyed {
    /// The order is carried out.
    Done,
    /// What the loop that reads orders has to end for.
    Served(Served),
}

impl Zygote {
    /// Loads the rules and sends the front a summary of them, or the reason why they cannot be loaded.
    fn load(
        sources: &RuleSources,
        limits: RetentionLimits,
        settings: SandboxSettings,
    ) -> Result<Self, ServiceError> {
        let control = io::stdin().as_fd().try_clone_to_owned().map_err(ServiceError::Control)?;
        let send = |report: Report| processes::send(control.as_fd(), &report.encode(), &[]);
        let failed = |reason: String| {
            // A failure to send means that the front is gone, and with it everybody who could read the reason.
            let _ = send(Report::Failed(reason));
            ServiceError::Rules
        };
        let (rules, summaries) = Rules::load(sources).map_err(|error| failed(error.to_string()))?;
        let planned = Sandbox::plan(rules.needs(), settings, limits);
        let (sandbox, notices) = planned.map_err(|error| failed(error.to_string()))?;
        let sent = notices.into_iter().try_for_each(|notice| send(Report::Sandbox(notice)));
        sent.map_err(ServiceError::Service)?;
        // A program that a rule has started and left behind becomes this process's child when its engine ends: the zygote
        // reaps what it has forked and what that has forked.
        prctl::set_child_subreaper(true).map_err(ServiceError::Children)?;
        let children = watch_children().map_err(ServiceError::Children)?;
        let (engines, front, logs) = (Vec::new(), getppid(), rules.log_files());
        let zygote =
            Self { control, children, rules, logs, sandbox, limits, engines, front, is_spare: false };
        for summaries in summaries.chunks(MAX_SUMMARIES) {
            zygote.report(&Report::Loaded(summaries.to_vec())).map_err(ServiceError::Service)?;
        }
        zygote.report(&Report::Ready).map_err(ServiceError::Service)?;
        Ok(zygote)
    }

    fn report(&self, report: &Report) -> nix::Result<()> {
        processes::send(self.control.as_fd(), &report.encode(), &[])
    }

    /// Serves the front until it closes the control socket. Then ends the engines that are left and waits for all of
    /// them, so that none becomes a zombie of another process.
    fn serve(self) -> Result<(), ServiceError> {
        self.serve_to_the_end().map_err(ServiceError::Service)
    }

    fn serve_to_the_end(mut self) -> nix::Result<()> {
        let served = loop {
            // The copy of a zygote goes on from here as the zygote does, so that copies of copies do not pile up on the
            // stack.
            let served = self.serve_front().and_then(|served| match served {
                Served::Spare(control) => self.fork_spare(control).map(|()| true),
                Served::Closed => Ok(false),
            });
            match served {
                Ok(true) => {}
                // The second: the front closed the socket while a report was on its way.
                Ok(false) | Err(Errno::EPIPE | Errno::ECONNRESET) => break Ok(()),
                Err(errno) => break Err(errno),
            }
        };
        self.wait_for_engines()?;
        for engine in self.engines.drain(..) {
            kill(engine, Signal::SIGKILL)?;
            waitpid(engine, None)?;
        }
        served
    }

    /// Waits up to [`LAST_GRACE`] for engines whose workers have let them go: they finish their parked transactions and
    /// end by themselves.
    fn wait_for_engines(&mut self) -> nix::Result<()> {
        let until = Instant::now() + LAST_GRACE;
        loop {
            // Before the poll: the SIGCHLD of an engine that has ended by now may have been read already.
            while let Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) =
                waitpid(None, Some(WaitPidFlag::WNOHANG))
            {
                self.engines.retain(|engine| *engine != pid);
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.engines.is_empty() || left.is_zero() {
                break;
            }
            let patience = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let mut children = [PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
            match poll(&mut children, patience) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            while self.children.read_signal()?.is_some() {}
        }
        Ok(())
    }

    fn serve_front(&mut self) -> nix::Result<Served> {
        loop {
            let mut ready = [
                PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            let [control, children] = ready.map(|ready| ready.any() == Some(true));
            if children {
                while self.children.read_signal()?.is_some() {}
                self.reap()?;
            }
            if control && let Obeyed::Served(served) = self.accept()? {
                return Ok(served);
            }
        }
    }

    /// Reaps the engines that have ended and reports them.
    fn reap(&mut self) -> nix::Result<()> {
        loop {
            let (pid, signal, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => (pid, 0, status),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32, 0),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            self.engines.retain(|engine| *engine != pid);
            self.report(&Report::Ended { pid: pid.as_raw(), signal, status })?;
        }
    }

    /// Carries out one order of the front, all but that for a spare.
    fn accept(&mut self) -> nix::Result<Obeyed> {
        let mut buffer = [0; MAX_MESSAGE];
        let (length, descriptors) = match processes::receive(self.control.as_fd(), &mut buffer) {
            Ok((0, _)) => return Ok(Obeyed::Served(Served::Closed)),
            received => received?,
        };
        if std::mem::take(&mut self.is_spare) {
            self.take_over();
        }
        let mut descriptors = descriptors.into_iter();
        let descriptors = (descriptors.next(), descriptors.next());
        match (Order::decode(buffer.get(..length).unwrap_or_default()), descriptors) {
            (Some(Order::Spawn { token, worker }), (Some(memory), Some(standard_error))) => {
                let report = match self.spawn(worker, memory, standard_error) {
                    Ok(pid) => Report::Spawned { token, pid: pid.as_raw() },
                    Err(errno) => Report::NotSpawned { token, errno: errno as i32 },
                };
                self.report(&report)?;
            }
            (Some(Order::Kill { pid }), _) => {
                // The pid of a child that is not reaped cannot belong to another process.
                let pid = Pid::from_raw(pid);
                if self.engines.contains(&pid) {
                    kill(pid, Signal::SIGKILL)?;
                }
            }
            (Some(Order::ReopenLogs), _) => {
                let reopened = self.logs.reopen().map(|files| files as u64);
                self.report(&Report::LogsReopened(reopened.map_err(|error| error.to_string())))?;
            }
            (Some(Order::Spare), (Some(control), None)) => return Ok(Obeyed::Served(Served::Spare(control))),
            _ => return Err(Errno::EBADMSG),
        }
        Ok(Obeyed::Done)
    }

    /// Forks a spare, which serves the front through `control`. Returns in both processes.
    fn fork_spare(&mut self, control: OwnedFd) -> nix::Result<()> {
        // The front adopts the spare, not this process, which adopts what else is left behind.
        prctl::set_child_subreaper(false)?;
        let forked = processes::fork_orphan();
        if !matches!(forked, Ok(Twin::Copy)) {
            prctl::set_child_subreaper(true)?;
        }
        match forked {
            Ok(Twin::Original) => Ok(()),
            Ok(Twin::Copy) => self.become_spare(control),
            Err(errno) => {
                let report = Report::NotSpawned { token: 0, errno: errno as i32 };
                // A failure means that the front does not wait for this spare any more.
                let _ = processes::send(control.as_fd(), &report.encode(), &[]);
                Ok(())
            }
        }
    }

    /// Makes this copy of a zygote its spare.
    fn become_spare(&mut self, control: OwnedFd) -> nix::Result<()> {
        // The zygote's control socket must end with the zygote, and not be open here. It is standard input, too, unless
        // the zygote was a spare itself.
        let null = File::open("/dev/null").map_err(|_| Errno::ENODEV)?;
        dup2_stdin(null)?;
        self.control = control;
        // The descriptor of the zygote would be readable when a child of this process ends, but only by the zygote.
        self.children = watch_children()?;
        self.engines.clear();
        self.is_spare = true;
        // A zygote leads a group, so that the front can reap what it leaves behind.
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        let _ = prctl::set_name(c"zygote-spare");
        self.report(&Report::Spare { pid: getpid().as_raw() })
    }

    /// Takes the place of a zygote that died.
    fn take_over(&self) {
        let _ = prctl::set_name(c"zygote");
        // As `load` does it: a fork does not inherit this.
        let _ = prctl::set_child_subreaper(true);
        // Engines end with their zygote, and the zygote from now on with the front, even if the front is killed. The
        // parent is another process only where the front cannot adopt orphans: there the control socket has to do.
        if getppid() == self.front {
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        }
    }

    fn spawn(&mut self, worker: u64, memory: OwnedFd, standard_error: OwnedFd) -> nix::Result<Pid> {
        let (zygote, rules, sandbox, limits) = (getpid(), &self.rules, &self.sandbox, self.limits);
        let inherited = [self.control.as_raw_fd(), self.children.as_raw_fd()];
        let pid = processes::fork_into(|| {
            // The child never returns to the zygote's code, so the zygote's descriptors are not used or closed twice.
            let closed = inherited.map(close);
            if closed.iter().any(Result::is_err) {
                return 1;
            }
            let mut signals = SigSet::empty();
            signals.add(Signal::SIGCHLD);
            match signals.thread_unblock() {
                Ok(()) => engine_main::run(zygote, worker, [memory, standard_error], rules, sandbox, limits),
                Err(_) => 1,
            }
        })?;
        self.engines.push(pid);
        Ok(pid)
    }
}

/// Returns a descriptor that is readable when a child has ended.
fn watch_children() -> nix::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
