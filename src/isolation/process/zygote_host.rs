//! The front's side of the zygote: starts it, sends it orders, and starts another when it dies.
//!
//! One thread does that during the whole life of the zygote host, and starts all zygotes: the kernel ends a zygote when
//! the *thread* that started it ends.

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
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;
use slog::{Logger, error, warn};

use super::channel::Alarm;
use super::control::{MAX_MESSAGE, Order, Report};
use super::zygote;
use crate::ffi::processes;
use crate::modsecurity::load::Summary;
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::sources::RuleSources;

/// How long a worker waits for a zygote, which may still load its rules, and then as long again for its answer. After
/// that the worker counts as one without an engine, and tries again.
const PATIENCE: Duration = Duration::from_secs(2);

/// When a zygote that ended is started again. The delays are longer than those of an engine, as each zygote loads all
/// rules.
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
    /// The zygote cannot load the rules; the text is the zygote's.
    Rules(String),
    /// The zygote could not be started.
    Start(io::Error),
    /// The zygote ended while it loaded the rules.
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

impl std::error::Error for ZygoteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Rules(_) | Self::Ended => None,
        }
    }
}

/// Why the zygote forked no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpawnError {
    /// No zygote has loaded its rules within [`PATIENCE`].
    NoZygote,
    /// The zygote died before it answered.
    ZygoteDied,
    /// The zygote has not answered within [`PATIENCE`].
    NoAnswer,
    /// fork(2) failed in the zygote.
    Fork(Errno),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoZygote => f.write_str("there is no zygote"),
            Self::ZygoteDied => f.write_str("the zygote died"),
            Self::NoAnswer => f.write_str("the zygote does not answer"),
            // The limits are those of systemd and of the shell; cgroups and the kernel have more.
            Self::Fork(Errno::EAGAIN) => f.write_str(
                "the zygote cannot fork: EAGAIN: too many processes (systemd's TasksMax=, ulimit -u)",
            ),
            Self::Fork(Errno::ENOMEM) => f.write_str("the zygote cannot fork: ENOMEM: too little memory"),
            Self::Fork(errno) => write!(f, "the zygote cannot fork: {errno}"),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fork(errno) => Some(errno),
            Self::NoZygote | Self::ZygoteDied | Self::NoAnswer => None,
        }
    }
}

/// The front's handle of the zygote. Dropping the handle ends the zygote and all engines.
pub struct ZygoteHost {
    shared: Arc<SharedState>,
    thread: Option<JoinHandle<()>>,
}

/// What the zygote host's thread and the workers share.
#[derive(Default)]
struct SharedState {
    state: Mutex<State>,
    /// Notified after each change of the state.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The living zygote and its control socket, once it has loaded its rules.
    zygote: Option<(Pid, OwnedFd)>,
    next_token: u64,
    /// The alarms of workers whose spawn orders are not answered yet, by token.
    alarms: HashMap<u64, Alarm>,
    /// Answers to spawn orders that their workers have not collected yet, by token.
    answers: HashMap<u64, Answer>,
    /// Engines by pid, until their workers forget them.
    engines: HashMap<i32, EngineState>,
    /// Whether the handle has been dropped.
    stopping: bool,
}

/// The answer to a spawn order: the engine's pid and a channel that closes when the engine ends, or an errno.
type Answer = Result<(i32, Receiver<Infallible>), i32>;

/// The state of an engine that its worker has not forgotten.
enum EngineState {
    /// The engine runs. Dropping this closes the channel first, so that the worker finds it closed when the alarm wakes
    /// it.
    Runs { _end: Sender<Infallible>, _alarm: Option<Alarm> },
    /// The engine has ended.
    Ended(EngineExit),
}

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineExit {
    /// By a signal of this number.
    Signal(i32),
    /// By itself, with this exit status.
    Status(i32),
    /// With its zygote: the kernel ends the engines of a zygote that dies.
    ZygoteDied,
}

impl fmt::Display for EngineExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => f.write_str(signal.as_str()),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::ZygoteDied => f.write_str("its zygote died"),
        }
    }
}

impl SharedState {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `found` returns something, at most `patience`.
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
    /// Starts a zygote with these rules and waits until it has loaded them. `limits` are those of parked transactions
    /// in each engine. Returns the summaries of the default rules and of each application, in its order.
    ///
    /// # Errors
    /// When the zygote cannot be started, refuses the rules, or ends before it has loaded them.
    pub fn start(
        rules: &RuleSources,
        limits: RetentionLimits,
        log: &Logger,
    ) -> Result<(Self, Vec<Summary>), ZygoteError> {
        let shared = Arc::<SharedState>::default();
        let (ready, started) = mpsc::channel();
        let body = {
            let (shared, args, log) = (Arc::clone(&shared), zygote::args(rules, limits), log.clone());
            move || run(&shared, &args, &log, &ready)
        };
        let thread =
            thread::Builder::new().name("zygote_host".to_owned()).spawn(body).map_err(ZygoteError::Start)?;
        let host = Self { shared, thread: Some(thread) };
        match started.recv() {
            Ok(Ok(summaries)) => Ok((host, summaries)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ZygoteError::Ended),
        }
    }

    /// Lets the zygote fork an engine for `worker`, which shares `memory` with it. Returns the engine's pid and a
    /// channel that closes when the engine ends; after that, `alarm` wakes the worker.
    ///
    /// # Errors
    /// When there is no zygote within [`PATIENCE`], or it does not answer within that time, dies, or cannot fork.
    pub(super) fn spawn(
        &self,
        worker: usize,
        memory: BorrowedFd<'_>,
        alarm: Alarm,
    ) -> Result<(Pid, Receiver<Infallible>), SpawnError> {
        let mut alarm = Some(alarm);
        let asked = self.shared.wait(PATIENCE, |state| {
            let (zygote, control) = state.zygote.as_ref()?;
            let zygote = *zygote;
            let order = Order::Spawn { token: state.next_token, worker: worker as u64 };
            let sent = processes::send(control.as_fd(), &order.encode(), Some(memory));
            state.next_token += 1;
            // A failure means that this zygote has just died: the next one gets the order.
            sent.ok()?;
            let token = state.next_token - 1;
            state.alarms.extend(alarm.take().map(|alarm| (token, alarm)));
            Some((zygote, token))
        });
        let (zygote, token) = asked.ok_or(SpawnError::NoZygote)?;
        let answer = self.shared.wait(PATIENCE, |state| match state.answers.remove(&token) {
            None if state.zygote.as_ref().map(|(pid, _)| *pid) != Some(zygote) => {
                Some(Err(SpawnError::ZygoteDied))
            }
            answer => answer.map(|answer| answer.map_err(|errno| SpawnError::Fork(Errno::from_raw(errno)))),
        });
        let (pid, end) = answer.ok_or(SpawnError::NoAnswer)??;
        Ok((Pid::from_raw(pid), end))
    }

    /// Kills an engine.
    pub(super) fn kill(&self, engine: Pid) {
        let state = self.shared.lock();
        if let Some((_, control)) = &state.zygote {
            // A failure means that the zygote is gone, and the engine with it.
            let _ = processes::send(control.as_fd(), &Order::Kill { pid: engine.as_raw() }.encode(), None);
        }
    }

    /// How an engine ended; `None` when the zygote has not reported it within `patience`.
    pub(super) fn end_of(&self, engine: Pid, patience: Duration) -> Option<EngineExit> {
        self.shared.wait(patience, |state| match state.engines.get(&engine.as_raw()) {
            Some(EngineState::Runs { .. }) => None,
            Some(EngineState::Ended(end)) => Some(*end),
            None => Some(EngineExit::ZygoteDied),
        })
    }

    /// Forgets an engine, once its worker will not ask about it again.
    pub(super) fn forget(&self, engine: Pid) {
        self.shared.lock().engines.remove(&engine.as_raw());
    }

    /// Kills the zygote, and with it all engines; the zygote host's thread starts another.
    pub fn rebuild(&self) {
        let state = self.shared.lock();
        if let Some((zygote, _)) = state.zygote {
            // The state only holds a zygote that is not reaped, so the pid cannot belong to another process. A failure
            // means that the zygote has died by itself.
            let _ = kill(zygote, Signal::SIGKILL);
        }
    }
}

impl Drop for ZygoteHost {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        if let Some((_, control)) = &state.zygote {
            // The zygote sees its control socket end and ends too. A failure means that it is gone already.
            let _ = nix::sys::socket::shutdown(
                std::os::fd::AsRawFd::as_raw_fd(control),
                nix::sys::socket::Shutdown::Both,
            );
        }
        state.zygote = None;
        drop(state);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The panic hook has logged a panic of the thread.
            let _ = thread.join();
        }
    }
}

/// The way to [`ZygoteHost::start`], which waits for the first zygote.
type Ready = mpsc::Sender<Result<Vec<Summary>, ZygoteError>>;

/// The zygote host's thread: runs one zygote after the other. `ready` gets the first one's summaries or failure.
fn run(shared: &SharedState, args: &[std::ffi::OsString], log: &Logger, ready: &Ready) {
    let mut restarts = Restarts::new(POLICY);
    let (mut first, mut rules) = (Some(ready), 0);
    loop {
        let ended = match (ZygoteProcess::start(args), first) {
            (Ok(zygote), _) => zygote.serve(shared, log, &mut first, &mut rules),
            (Err(error), Some(ready)) => {
                // A failure means that the program has given up, and nobody waits any more.
                let _ = ready.send(Err(ZygoteError::Start(error)));
                return;
            }
            (Err(error), None) => format!("cannot be started: {error}"),
        };
        // A first zygote that could not load its rules is not restarted: the program refuses these rules.
        if first.is_some() || shared.lock().stopping {
            return;
        }
        let delay = restarts.next_delay(Instant::now());
        error!(log, "zygote ended, its engines with it"; "reason" => ?ended,
            "restart_in_ms" => delay.as_millis() as u64);
        if shared.wait(delay, |state| state.stopping.then_some(())).is_some() {
            return;
        }
    }
}

/// The environment variable that makes glibc's malloc keep more freed small blocks in the thread's own cache, from
/// where the next transaction takes them: it halves the time that an engine without rules takes for a request. `None`
/// when the operator has set the variable.
fn tunables() -> Option<(&'static str, &'static str)> {
    const TUNABLES: &str = "GLIBC_TUNABLES";
    std::env::var_os(TUNABLES).is_none().then_some((TUNABLES, "glibc.malloc.tcache_count=128"))
}

/// A zygote and this end of its control socket.
struct ZygoteProcess {
    child: Child,
    control: OwnedFd,
}

impl ZygoteProcess {
    fn start(args: &[std::ffi::OsString]) -> io::Result<Self> {
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
        Ok(Self { child, control })
    }

    /// Carries out the zygote's reports until the zygote ends. Returns how it ended. `first` is taken when a first
    /// zygote has loaded its rules; `rules` is how many the last one has loaded, whose files may have changed since.
    fn serve(
        self,
        shared: &SharedState,
        log: &Logger,
        first: &mut Option<&Ready>,
        rules: &mut usize,
    ) -> String {
        let (mut buffer, mut summaries) = ([0; MAX_MESSAGE], Vec::new());
        loop {
            let received =
                processes::receive(self.control.as_fd(), &mut buffer).map_or(0, |(length, _)| length);
            let Some(report) = Report::decode(buffer.get(..received).unwrap_or_default()) else { break };
            match report {
                Report::Loaded(some) => summaries.extend(some),
                Report::Ready => {
                    let summaries = std::mem::take(&mut summaries);
                    let loaded = summaries.iter().map(|summary| summary.rules.in_engine).sum();
                    let rules_before = std::mem::replace(rules, loaded);
                    let Ok(control) = self.control.try_clone() else { break };
                    let mut state = shared.lock();
                    if state.stopping {
                        break;
                    }
                    state.zygote = Some((Pid::from_raw(self.child.id() as i32), control));
                    drop(state);
                    match first.take() {
                        // A failure means that the program has given up, and nobody waits any more.
                        Some(ready) => ready.send(Ok(summaries)).unwrap_or_default(),
                        None => {
                            warn!(log, "zygote restarted"; "rules" => loaded, "rules_before" => rules_before)
                        }
                    }
                }
                Report::Failed(cause) => match first {
                    Some(ready) => ready.send(Err(ZygoteError::Rules(cause))).unwrap_or_default(),
                    None => error!(log, "zygote cannot load the rules"; "reason" => ?cause),
                },
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
        // Below, `end` reaps the zygote, which frees its pid: nobody may find it in the state then.
        let mut state = shared.lock();
        state.zygote = None;
        state.answers.clear();
        state.alarms.clear();
        state.engines.clear();
        drop(state);
        shared.changed.notify_all();
        drop(self.control);
        end(self.child).map_or_else(|error| error.to_string(), describe)
    }
}

/// Waits for a zygote whose control socket is closed, and which ends its engines and then itself. Kills it after
/// [`LAST_GRACE`].
///
/// # Errors
/// The system's error when the zygote can be neither reaped nor killed.
fn end(mut zygote: Child) -> io::Result<ExitStatus> {
    if let Some(status) = wait(&mut zygote, LAST_GRACE)? {
        return Ok(status);
    }
    zygote.kill()?;
    if let Some(status) = wait(&mut zygote, LAST_GRACE)? {
        return Ok(status);
    }
    // The zygote is in a call that no signal ends, on a file system that does not answer. A thread waits on, so that it
    // is reaped; if there is no thread, it stays a zombie until this program ends.
    let _ = thread::Builder::new().name("zygote-end".to_owned()).spawn(move || zygote.wait());
    Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end, though it was killed"))
}

/// Waits for a zygote to end, at most `patience`.
fn wait(zygote: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(status) = zygote.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(None)
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => EngineExit::Signal(signal).to_string(),
        (None, code) => EngineExit::Status(code.unwrap_or_default()).to_string(),
    }
}
