//! The front's side of the zygote: starts it, speaks with it, and starts another when it dies.
//!
//! One thread does that for as long as the zygote host lives. It must be that thread that starts the zygotes: the kernel ends
//! a zygote when the *thread* that started it ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use actors::restart::{RestartPolicy, Restarts};
use crossbeam::channel::{self, Receiver, Sender};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;
use slog::{Logger, error, warn};

use super::channel::Alarm;
use super::control::{MAX_MESSAGE, Order, Report};
use super::sandbox::SandboxSettings;
use super::{orphans, zygote};
use crate::ffi::processes;
use crate::modsecurity::load::Summary;
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::sources::RuleSources;

/// How long a worker waits for a zygote that may have to load its rules first, and then for its answer. The worker tries
/// again after that, but it is known meanwhile that it has no engine.
const PATIENCE: Duration = Duration::from_secs(2);

/// When a zygote that ended is started again. Unlike an engine it loads all rules each time.
const POLICY: RestartPolicy = RestartPolicy {
    intensity: 3,
    period: Duration::from_secs(10),
    first_delay: Duration::from_millis(100),
    max_delay: Duration::from_secs(5),
};

/// How long a zygote may take to end: a little longer than it waits for its engines.
const LAST_GRACE: Duration = Duration::from_secs(4);

/// Why there is no zygote.
#[derive(Debug)]
pub enum ZygoteError {
    /// The rules are wrong; the text is the zygote's.
    Rules(String),
    /// It could not be started.
    Start(io::Error),
    /// It ended before it said anything.
    Ended,
}

impl fmt::Display for ZygoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules(text) => f.write_str(text),
            Self::Start(error) => write!(f, "cannot start the engines' zygote: {error}"),
            Self::Ended => f.write_str("the engines' zygote ended while it loaded the rules"),
        }
    }
}

impl std::error::Error for ZygoteError {}

/// The front's hold on the zygote. Dropping it ends the zygote and all engines.
pub struct ZygoteHost {
    shared: Arc<SharedState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct SharedState {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The zygote that lives, once it has loaded its rules.
    zygote: Option<(Pid, OwnedFd)>,
    next_token: u64,
    /// How to tell the workers whose spawn requests are not answered yet that their engine has ended.
    alarms: HashMap<u64, Alarm>,
    /// Answers to spawn requests that nobody has collected.
    answers: HashMap<u64, Answer>,
    /// Engines that run, and how those ended that nobody has asked about.
    engines: HashMap<i32, EngineState>,
    stopping: bool,
}

/// What came of a spawn request: an engine and the channel that tells of its end, or an errno.
type Answer = Result<(i32, Receiver<Infallible>), i32>;

/// An engine that its worker has not let go.
enum EngineState {
    /// It runs. When it ends, the channel is closed, and then its worker is woken.
    Runs { _end: Sender<Infallible>, _alarm: Option<Alarm> },
    /// It has ended.
    Ended(EngineExit),
}

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineExit {
    Signal(i32),
    Status(i32),
}

impl fmt::Display for EngineExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => f.write_str(signal.as_str()),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Status(status) => write!(f, "exit status {status}"),
        }
    }
}

impl SharedState {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `found` finds something, for so long.
    fn wait<T>(&self, patience: Duration, mut found: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(found) = found(&mut state) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl ZygoteHost {
    /// Starts a zygote with these rules and waits until it has loaded them. `bounds` and `sandbox` hold for each engine.
    pub fn start(
        rules: &RuleSources,
        bounds: RetentionLimits,
        sandbox: SandboxSettings,
        log: &Logger,
    ) -> Result<(Self, Vec<Summary>), ZygoteError> {
        orphans::adopt(log);
        let shared = Arc::<SharedState>::default();
        let (say, said) = mpsc::channel();
        let body = {
            let (shared, args, log) =
                (Arc::clone(&shared), zygote::args(rules, bounds, sandbox), log.clone());
            move || keep(&shared, &args, &log, &say)
        };
        let thread =
            thread::Builder::new().name("zygote_host".to_owned()).spawn(body).map_err(ZygoteError::Start)?;
        let zygote_host = Self { shared, thread: Some(thread) };
        match said.recv() {
            Ok(Ok(summary)) => Ok((zygote_host, summary)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ZygoteError::Ended),
        }
    }

    /// Has an engine forked with these descriptors, of the memory with its jobs and of its standard error; gives its process, and a channel that closes with it. After
    /// that the `alarm` goes off.
    pub(super) fn spawn(
        &self,
        worker: usize,
        descriptors: [BorrowedFd<'_>; 2],
        alarm: Alarm,
    ) -> Result<(Pid, Receiver<Infallible>), String> {
        let mut alarm = Some(alarm);
        let asked = self.shared.wait(PATIENCE, |state| {
            let (zygote, control) = state.zygote.as_ref()?;
            let zygote = *zygote;
            let request = Order::Spawn { token: state.next_token, worker: worker as u64 };
            let sent = processes::send(control.as_fd(), &request.encode(), &descriptors);
            state.next_token += 1;
            // If it died just now there will be another.
            sent.ok()?;
            let token = state.next_token - 1;
            state.alarms.extend(alarm.take().map(|alarm| (token, alarm)));
            Some((zygote, token))
        });
        let (zygote, token) = asked.ok_or("there is no zygote")?;
        let answer = self.shared.wait(PATIENCE, |state| match state.answers.remove(&token) {
            None if state.zygote.as_ref().map(|(pid, _)| *pid) != Some(zygote) => {
                Some(Err("the zygote died".to_owned()))
            }
            answer => answer.map(|answer| answer.map_err(|errno| nix::Error::from_raw(errno).to_string())),
        });
        let (pid, end) = answer.unwrap_or_else(|| Err("the zygote does not answer".to_owned()))?;
        Ok((Pid::from_raw(pid), end))
    }

    /// Ends an engine.
    pub(super) fn kill(&self, engine: Pid) {
        let state = self.shared.lock();
        if let Some((_, control)) = &state.zygote {
            // With the zygote gone, the engine is too.
            let _ = processes::send(control.as_fd(), &Order::Kill { pid: engine.as_raw() }.encode(), &[]);
        }
    }

    /// How an engine ended, waiting so long for the news.
    pub(super) fn end_of(&self, engine: Pid, patience: Duration) -> Option<EngineExit> {
        self.shared.wait(patience, |state| match state.engines.get(&engine.as_raw()) {
            Some(EngineState::Runs { .. }) => None,
            Some(EngineState::Ended(end)) => Some(Some(*end)),
            None => Some(None),
        })?
    }

    /// Nobody will ask about this engine again.
    pub(super) fn forget(&self, engine: Pid) {
        self.shared.lock().engines.remove(&engine.as_raw());
    }

    /// Replaces the zygote, and with it all engines.
    pub fn rebuild(&self) {
        let state = self.shared.lock();
        if let Some((zygote, _)) = state.zygote {
            // Ours, and not reaped while it is in the state: the number is no one else's. It may have died by itself.
            let _ = kill(zygote, Signal::SIGKILL);
        }
    }
}

impl Drop for ZygoteHost {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        if let Some((_, control)) = &state.zygote {
            // The zygote sees the end of the stream, and the zygote host sees the zygote's. It may be gone already.
            let _ = nix::sys::socket::shutdown(
                std::os::fd::AsRawFd::as_raw_fd(control),
                nix::sys::socket::Shutdown::Both,
            );
        }
        state.zygote = None;
        drop(state);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it was logged.
            let _ = thread.join();
        }
    }
}

type Said = mpsc::Sender<Result<Vec<Summary>, ZygoteError>>;

/// The zygote host's thread: one zygote after the other. The first one's success or failure is said to whoever waits for it.
fn keep(shared: &SharedState, args: &[std::ffi::OsString], log: &Logger, say: &Said) {
    let mut restarts = Restarts::new(POLICY);
    let mut first = Some(say);
    loop {
        let ended = match (ZygoteProcess::start(args), first) {
            (Ok(zygote), _) => zygote.serve(shared, log, &mut first),
            (Err(error), Some(say)) => {
                // Nobody listens if the program has given up.
                let _ = say.send(Err(ZygoteError::Start(error)));
                return;
            }
            (Err(error), None) => format!("cannot be started: {error}"),
        };
        // Without a first zygote that has loaded its rules there is nothing to keep.
        if first.is_some() || shared.lock().stopping {
            return;
        }
        let delay = restarts.next_delay(Instant::now());
        error!(log, "zygote ended, its engines with it"; "how" => ended, "restart in" => format!("{delay:.1?}"));
        if shared.wait(delay, |state| state.stopping.then_some(())).is_some() {
            return;
        }
    }
}

/// What makes the C library's malloc(3) keep more of the small blocks that a transaction has been done with, within reach
/// of the next: an engine without rules takes half as long by that. Whoever has settings of their own for it keeps those.
fn tuned() -> Option<(&'static str, &'static str)> {
    const TUNABLES: &str = "GLIBC_TUNABLES";
    std::env::var_os(TUNABLES).is_none().then_some((TUNABLES, "glibc.malloc.tcache_count=128"))
}

struct ZygoteProcess {
    child: Child,
    control: OwnedFd,
}

impl ZygoteProcess {
    fn start(args: &[std::ffi::OsString]) -> io::Result<Self> {
        let (control, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        // A group of its own: a terminal's Ctrl-C is for the front, which ends the engines when it is done with them.
        let child = Command::new("/proc/self/exe")
            .arg0(zygote::NAME)
            .args(args)
            .envs(tuned())
            .stdin(Stdio::from(theirs))
            .process_group(0)
            .spawn()?;
        Ok(Self { child, control })
    }

    /// Takes its reports until it ends; says how it ended.
    /// `first` is who waits for the first zygote, as long as none has loaded its rules.
    fn serve(self, shared: &SharedState, log: &Logger, first: &mut Option<&Said>) -> String {
        let mut buffer = [0; MAX_MESSAGE];
        loop {
            let received =
                processes::receive(self.control.as_fd(), &mut buffer).map_or(0, |(length, _)| length);
            let Some(report) = Report::decode(buffer.get(..received).unwrap_or_default()) else { break };
            match report {
                Report::Ready(summaries) => {
                    let Ok(control) = self.control.try_clone() else { break };
                    let mut state = shared.lock();
                    if state.stopping {
                        break;
                    }
                    state.zygote = Some((Pid::from_raw(self.child.id() as i32), control));
                    drop(state);
                    match first.take() {
                        // Nobody listens if the program has given up.
                        Some(say) => say.send(Ok(summaries)).unwrap_or_default(),
                        None => warn!(log, "zygote restarted";
                            "rules" => summaries.iter().map(|summary| summary.rules.in_engine).sum::<usize>()),
                    }
                }
                Report::Failed(cause) => match first {
                    Some(say) => say.send(Err(ZygoteError::Rules(cause))).unwrap_or_default(),
                    None => error!(log, "zygote cannot load the rules"; "cause" => cause),
                },
                Report::Sandbox(notice) => notice.log(log),
                Report::Spawned { token, pid } => {
                    let mut state = shared.lock();
                    let (sender, end) = channel::bounded(0);
                    let alarm = state.alarms.remove(&token);
                    state.engines.insert(pid, EngineState::Runs { _end: sender, _alarm: alarm });
                    state.answers.insert(token, Ok((pid, end)));
                }
                Report::NotSpawned { token, errno } => {
                    let mut state = shared.lock();
                    state.alarms.remove(&token);
                    state.answers.insert(token, Err(errno));
                }
                Report::Ended { pid, signal, status } => {
                    let end =
                        if signal == 0 { EngineExit::Status(status) } else { EngineExit::Signal(signal) };
                    if let Some(engine) = shared.lock().engines.get_mut(&pid) {
                        *engine = EngineState::Ended(end);
                    }
                }
            }
            shared.changed.notify_all();
        }
        // From here on its number is only ours until `wait` gives it back.
        let mut state = shared.lock();
        state.zygote = None;
        state.answers.clear();
        state.alarms.clear();
        state.engines.clear();
        drop(state);
        shared.changed.notify_all();
        drop(self.control);
        let zygote = Pid::from_raw(self.child.id() as i32);
        let ended = end(self.child).map_or_else(|error| error.to_string(), describe);
        orphans::reap(zygote, log);
        ended
    }
}

/// Waits for a zygote whose control socket is closed. It buries its engines and ends; if it does not, it is ended.
fn end(mut zygote: Child) -> io::Result<ExitStatus> {
    let until = Instant::now() + LAST_GRACE;
    while Instant::now() < until {
        if let Some(status) = zygote.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(2));
    }
    zygote.kill()?;
    zygote.wait()
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => EngineExit::Signal(signal).to_string(),
        (None, code) => EngineExit::Status(code.unwrap_or_default()).to_string(),
    }
}
