//! The zygote: loads the rules once, then forks an engine process whenever the front asks for one.
//!
//! It never sees a request. It has one thread, which waits for the front's options and for the ends of its children.

use std::ffi::{OsStr, OsString};
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
use nix::unistd::{Pid, close, getpid};

use super::control::{MAX_MESSAGE, Order, Report};
use super::engine_main;
use super::sandbox::{Sandbox, SandboxSettings};
use crate::ffi::processes;
use crate::modsecurity::Rules;
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::sources::RuleSource;
use crate::rules::sources::RuleSources;
use crate::rules::version::EngineVersion;

/// What the binary is called when it is to be a zygote. Nobody calls a program so by accident.
pub(super) const NAME: &str = "modsecurity-spoa-zygote";

/// How long engines may take to end when the front is done with them. It waits longer for the zygote.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// Whether this process was started to be a zygote.
pub fn invoked_as_zygote(args: &[OsString]) -> bool {
    args.first().map(OsString::as_os_str) == Some(OsStr::new(NAME))
}

/// The arguments behind the name that tell a zygote what to load: into which version of ModSecurity, how many transactions may wait in each engine, how long in
/// milliseconds, the engines' sandbox, how many rule files follow, these, and then the name of an application before each of its files.
pub(super) fn args(
    sources: &RuleSources,
    bounds: RetentionLimits,
    sandbox: SandboxSettings,
) -> Vec<OsString> {
    let files = match &sources.default {
        RuleSource::Default => &[][..],
        RuleSource::Files(files) => files,
    };
    let mut args: Vec<OsString> = vec![
        sources.engine.number().to_string().into(),
        bounds.count.to_string().into(),
        bounds.ttl.as_millis().to_string().into(),
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
    Some((RuleSources { engine, default, applications }, RetentionLimits { count, ttl }, sandbox))
}

/// The life of a zygote whose control socket is its standard input; what it returns is its exit status.
pub fn run(args: &[OsString]) -> i32 {
    processes::set_signals();
    // It was started as /proc/self/exe. Without a name of its own it works just as well.
    let _ = prctl::set_name(c"zygote");
    // Who can crash engines must not fill the disk with them, nor what they had in hand be found there.
    if setrlimit(Resource::RLIMIT_CORE, 0, 0).is_err() {
        return 1;
    }
    // The front's end of the control socket closes with the front; this covers a zygote that is busy loading.
    if prctl::set_pdeathsig(Signal::SIGKILL).is_err() {
        return 1;
    }
    let Some((sources, bounds, sandbox)) = read_args(args) else { return 1 };
    // Whoever takes over an engine must not find the rules' secrets here, nor the control socket.
    if sandbox.is_on && prctl::set_dumpable(false).is_err() {
        return 1;
    }
    match Zygote::load(&sources, bounds, sandbox).map(Zygote::serve) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("{NAME}: {error}");
            1
        }
        Err(()) => 1,
    }
}

struct Zygote {
    control: OwnedFd,
    children: SignalFd,
    rules: Rules,
    sandbox: Sandbox,
    bounds: RetentionLimits,
    engines: Vec<Pid>,
}

impl Zygote {
    /// Loads the rules and reports how that went.
    fn load(sources: &RuleSources, bounds: RetentionLimits, settings: SandboxSettings) -> Result<Self, ()> {
        let control = io::stdin().as_fd().try_clone_to_owned().map_err(drop)?;
        let say = |report: Report| processes::send(control.as_fd(), &report.encode(), &[]);
        // If the front is gone, nobody is left to be told.
        let failed = |cause: String| say(Report::Failed(cause)).unwrap_or_default();
        let (rules, summaries) = Rules::load(sources).map_err(|error| failed(error.to_string()))?;
        let planned = Sandbox::plan(rules.needs(), settings, bounds);
        let (sandbox, notices) = planned.map_err(|error| failed(error.to_string()))?;
        notices.into_iter().try_for_each(|notice| say(Report::Sandbox(notice))).map_err(drop)?;
        // Programs that rules have started, too: nobody else waits for those whose engine is gone.
        prctl::set_child_subreaper(true).map_err(drop)?;
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGCHLD);
        signals.thread_block().map_err(drop)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let children = SignalFd::with_flags(&signals, flags).map_err(drop)?;
        let zygote = Self { control, children, rules, sandbox, bounds, engines: Vec::new() };
        zygote.report(&Report::Ready(summaries)).map_err(drop)?;
        Ok(zygote)
    }

    fn report(&self, report: &Report) -> nix::Result<()> {
        processes::send(self.control.as_fd(), &report.encode(), &[])
    }

    /// Serves the front until that closes the control socket, then ends the engines that are left and waits for all of
    /// them, so that none becomes somebody else's zombie.
    fn serve(mut self) -> nix::Result<()> {
        let served = match self.serve_front() {
            // The front closed while something was on its way to it.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            served => served,
        };
        self.let_go()?;
        for engine in self.engines.drain(..) {
            kill(engine, Signal::SIGKILL)?;
            waitpid(engine, None)?;
        }
        served
    }

    /// Waits a moment for the engines that end by themselves, as their workers have let them go: they finish what waits
    /// for a response.
    fn let_go(&mut self) -> nix::Result<()> {
        let until = Instant::now() + LAST_GRACE;
        loop {
            // Those that have ended already may have sent their last signal before.
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

    fn serve_front(&mut self) -> nix::Result<()> {
        loop {
            let mut waiting = [
                PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut waiting, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            let [control, children] = waiting.map(|waiting| waiting.any() == Some(true));
            if children {
                while self.children.read_signal()?.is_some() {}
                self.reap()?;
            }
            if control && !self.accept()? {
                return Ok(());
            }
        }
    }

    /// Reports the children that have ended.
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

    /// Does what the front asks for; `false` at the end.
    fn accept(&mut self) -> nix::Result<bool> {
        let mut buffer = [0; MAX_MESSAGE];
        let (length, descriptors) = match processes::receive(self.control.as_fd(), &mut buffer) {
            Ok((0, _)) => return Ok(false),
            received => received?,
        };
        let descriptors = <[OwnedFd; 2]>::try_from(descriptors);
        match (Order::decode(buffer.get(..length).unwrap_or_default()), descriptors) {
            (Some(Order::Spawn { token, worker }), Ok([memory, standard_error])) => {
                let report = match self.spawn(worker, memory, standard_error) {
                    Ok(pid) => Report::Spawned { token, pid: pid.as_raw() },
                    Err(errno) => Report::NotSpawned { token, errno: errno as i32 },
                };
                self.report(&report)?;
            }
            (Some(Order::Kill { pid }), _) => {
                // Only a child that is not reaped yet: its number cannot be another's.
                let pid = Pid::from_raw(pid);
                if self.engines.contains(&pid) {
                    kill(pid, Signal::SIGKILL)?;
                }
            }
            _ => return Err(Errno::EBADMSG),
        }
        Ok(true)
    }

    fn spawn(&mut self, worker: u64, memory: OwnedFd, standard_error: OwnedFd) -> nix::Result<Pid> {
        let (zygote, rules, sandbox, bounds) = (getpid(), &self.rules, &self.sandbox, self.bounds);
        let inherited = [self.control.as_raw_fd(), self.children.as_raw_fd()];
        let pid = processes::fork_into(|| {
            // The child never comes back to the zygote's code, so nobody uses or closes them again.
            let closed = inherited.map(close);
            if closed.iter().any(Result::is_err) {
                return 1;
            }
            let mut signals = SigSet::empty();
            signals.add(Signal::SIGCHLD);
            match signals.thread_unblock() {
                Ok(()) => engine_main::run(zygote, worker, [memory, standard_error], rules, sandbox, bounds),
                Err(_) => 1,
            }
        })?;
        self.engines.push(pid);
        Ok(pid)
    }
}
