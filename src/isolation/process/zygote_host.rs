//! The front's side of the zygote: starts it, sends it orders, and starts another when it dies.
//!
//! One thread does that during the whole life of the zygote host, and starts all zygotes: the kernel ends a zygote when
//! the *thread* that started it ends.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use actors::restart::{RestartPolicy, Restarts};
use crossbeam::channel::Receiver;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slog::{Logger, error, info, warn};

use super::channel::Alarm;
use super::control::{MAX_MESSAGE, Order, Report};
use super::engine_states::{EngineExit, EngineState, SharedState};
use super::sandbox::SandboxSettings;
use super::spare::Spare;
use super::spawn_error::{NoFork, SpawnError};
use super::zygote_process::{self, ZygoteProcess};
use super::{orphans, zygote};
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

/// The front's handle of the zygote. Dropping the handle ends the zygote and all engines.
pub struct ZygoteHost {
    shared: Arc<SharedState>,
    thread: Option<JoinHandle<()>>,
}

impl ZygoteHost {
    /// Starts a zygote with these rules and waits until it has loaded them. `limits` are those of parked transactions
    /// in each engine, `sandbox` confines it. Returns the summaries of the default rules and of each application, in its order.
    ///
    /// # Errors
    /// When the zygote cannot be started, refuses the rules, or ends before it has loaded them.
    pub fn start(
        rules: &RuleSources,
        limits: RetentionLimits,
        sandbox: SandboxSettings,
        log: &Logger,
    ) -> Result<(Self, Vec<Summary>), ZygoteError> {
        orphans::adopt(log);
        let shared = Arc::<SharedState>::default();
        let (ready, started) = mpsc::channel();
        let body = {
            let (shared, args, log) =
                (Arc::clone(&shared), zygote::args(rules, limits, sandbox), log.clone());
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

    /// Lets the zygote fork an engine for `worker`, which inherits the descriptors of the memory that it shares with the worker and
    /// of its standard error. Returns the engine's pid and a
    /// channel that closes when the engine ends; after that, `alarm` wakes the worker.
    ///
    /// # Errors
    /// When there is no zygote within [`PATIENCE`], or it does not answer within that time, dies, or cannot fork.
    pub(super) fn spawn(
        &self,
        worker: usize,
        descriptors: [BorrowedFd<'_>; 2],
        alarm: Alarm,
    ) -> Result<(Pid, Receiver<Infallible>), SpawnError> {
        let mut alarm = Some(alarm);
        let asked = self.shared.wait(PATIENCE, |state| {
            let (zygote, control) = state.zygote.as_ref()?;
            let zygote = *zygote;
            let order = Order::Spawn { token: state.next_token, worker: worker as u64 };
            let sent = processes::send(control.as_fd(), &order.encode(), &descriptors);
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
            answer => answer.map(|answer| answer.map_err(SpawnError::Fork)),
        });
        let (pid, end) = answer.unwrap_or_else(|| self.shared.lock().give_up(token))?;
        Ok((Pid::from_raw(pid), end))
    }

    /// Has the zygote open the log files of the rules anew. Engines that are ordered from now on have the new ones.
    pub fn reopen_logs(&self) {
        let mut state = self.shared.lock();
        state.logs_are_stale = true;
        if let Some((_, control)) = &state.zygote {
            reopen_logs(control);
        }
    }

    /// Kills an engine.
    pub(super) fn kill(&self, engine: Pid) {
        let state = self.shared.lock();
        if let Some((_, control)) = &state.zygote {
            kill_engine(control, engine);
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

    /// Kills the zygote, and with it all engines; the spare takes over. Does nothing when that cannot help or would
    /// mean to read the rules: while no engine of this very zygote has ended, or no spare is there.
    pub fn rebuild(&self) {
        let state = self.shared.lock();
        if let Some((zygote, _)) = state.zygote.as_ref().filter(|_| state.has_lost_engines && state.has_spare)
        {
            // The state only holds a zygote that is not reaped, so the pid cannot belong to another process. A failure
            // means that the zygote has died by itself.
            let _ = kill(*zygote, Signal::SIGKILL);
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
                std::os::fd::AsRawFd::as_raw_fd(&**control),
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
    let (mut first, mut rules) = (Some(ready), 0);
    let mut spare = Spare::new();
    let (mut restarts, mut takeovers) = (Restarts::new(POLICY), Restarts::new(RestartPolicy::default()));
    let mut next = ZygoteProcess::start(args);
    loop {
        let ended = match (next, first) {
            (Ok(zygote), _) => zygote.serve(shared, log, &mut first, &mut spare, &mut rules),
            (Err(error), Some(ready)) => {
                // A failure means that the program has given up, and nobody waits any more.
                let _ = ready.send(Err(ZygoteError::Start(error)));
                return;
            }
            (Err(error), None) => format!("cannot be started: {error}"),
        };
        // A first zygote that could not load its rules is not restarted: the program refuses these rules.
        if first.is_some() || shared.lock().stopping {
            break;
        }
        let (successor, has_old_files) = spare.take_over().unzip();
        let policy = if successor.is_some() { &mut takeovers } else { &mut restarts };
        let delay = policy.next_delay(Instant::now());
        error!(log, # "zygote_ended", "zygote ended, its engines with it"; "reason" => ?ended,
            "restart_in_ms" => delay.as_millis() as u64);
        let is_stopping = shared.wait(delay, |state| state.stopping.then_some(())).is_some();
        next = match successor {
            Some(zygote) if !is_stopping && zygote.present(shared) => {
                if has_old_files == Some(true) || shared.lock().logs_are_stale {
                    reopen_logs(&zygote.control);
                }
                warn!(log, # "spare_zygote_took_over", "spare zygote took over"; "process" => zygote.pid.as_raw());
                Ok(zygote)
            }
            Some(zygote) => {
                zygote_process::end(zygote);
                break;
            }
            None if is_stopping => break,
            None => ZygoteProcess::start(args),
        };
    }
    spare.end();
}

impl ZygoteProcess {
    /// Carries out the zygote's reports until the zygote ends, and keeps it in possession of a spare. Returns how it
    /// ended. `first` is taken when a first zygote has loaded its rules; `rules` is how many the last one has loaded, whose
    /// files may have changed since.
    fn serve(
        self,
        shared: &SharedState,
        log: &Logger,
        first: &mut Option<&Ready>,
        spare: &mut Spare,
        rules: &mut usize,
    ) -> String {
        let mut summaries = Vec::new();
        while let Some(report) = self.next_report(shared, spare, log) {
            match report {
                Report::Loaded(some) => summaries.extend(some),
                Report::Ready => {
                    let summaries = std::mem::take(&mut summaries);
                    let loaded = summaries.iter().map(|summary: &Summary| summary.rules.in_engine).sum();
                    let rules_before = std::mem::replace(rules, loaded);
                    // Before any worker can order an engine, so that the spare is the zygote's first copy.
                    spare.zygote_is_ready();
                    spare.ask(&self, log);
                    if !self.present(shared) {
                        break;
                    }
                    match first.take() {
                        // A failure means that the program has given up, and nobody waits any more.
                        Some(ready) => ready.send(Ok(summaries)).unwrap_or_default(),
                        None => {
                            warn!(log, # "zygote_restarted", "zygote restarted, rules read anew"; "rules_in_engine" => loaded,
                            "rules_before" => rules_before)
                        }
                    }
                }
                Report::Failed(cause) => match first {
                    Some(ready) => ready.send(Err(ZygoteError::Rules(cause))).unwrap_or_default(),
                    None => {
                        error!(log, # "zygote_cannot_load_rules", "zygote cannot load the rules"; "reason" => ?cause)
                    }
                },
                Report::Sandbox(notice) => notice.log(log),
                Report::Spawned { token, pid } => {
                    // Nobody waits when the worker has given up.
                    if !shared.lock().spawned(token, pid) {
                        kill_engine(&self.control, Pid::from_raw(pid));
                    }
                }
                Report::NotSpawned { token, errno } => {
                    let mut state = shared.lock();
                    if state.alarms.remove(&token).is_some() {
                        state.answers.insert(token, Err(NoFork(Errno::from_raw(errno))));
                    }
                }
                Report::Ended { pid, signal, status } => {
                    let end =
                        if signal == 0 { EngineExit::Status(status) } else { EngineExit::Signal(signal) };
                    let mut state = shared.lock();
                    if let Some(engine) = state.engines.get_mut(&pid) {
                        *engine = EngineState::Ended(end);
                        state.has_lost_engines = true;
                    }
                }
                Report::LogsReopened(outcome) => {
                    shared.lock().logs_are_stale = false;
                    // The spare has the old files.
                    spare.renew();
                    match outcome {
                        Ok(files) => {
                            info!(log, # "audit_logs_reopened", "audit logs reopened"; "files" => files)
                        }
                        Err(cause) => error!(log, # "audit_logs_not_reopened",
                            "audit log cannot be reopened, going on with the old one"; "cause" => ?cause),
                    }
                }
                // It comes on a spare's own socket, where it is not for this loop.
                Report::Spare { .. } => break,
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
        let zygote = self.pid;
        let ended = zygote_process::end(self);
        orphans::reap(zygote, log);
        ended
    }

    /// Lets workers order engines of this zygote. Returns `false` when the handle has been dropped.
    fn present(&self, shared: &SharedState) -> bool {
        let mut state = shared.lock();
        if !state.stopping {
            state.zygote = Some((self.pid, Arc::clone(&self.control)));
            state.has_lost_engines = false;
        }
        let presented = !state.stopping;
        drop(state);
        shared.changed.notify_all();
        presented
    }

    /// The zygote's next report; `None` when the zygote has ended. Looks after the spare meanwhile.
    fn next_report(&self, shared: &SharedState, spare: &mut Spare, log: &Logger) -> Option<Report> {
        loop {
            shared.lock().has_spare = spare.is_there();
            let due = spare.due();
            if due.is_some_and(|due| due.is_zero()) {
                spare.ask(self, log);
            }
            let patience = spare.due().map_or(PollTimeout::NONE, |due| {
                // Rounded up, so that the loop does not spin in the last millisecond.
                PollTimeout::try_from(due + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            let own = PollFd::new(self.control.as_fd(), PollFlags::POLLIN);
            let sockets = spare.control().map(|control| PollFd::new(control.as_fd(), PollFlags::POLLIN));
            let mut ready: Vec<_> = std::iter::once(own).chain(sockets).collect();
            match poll(&mut ready, patience) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
            let is_ready = |place: usize| ready.get(place).and_then(PollFd::any) == Some(true);
            let (own, spares) = (is_ready(0), is_ready(1));
            if own {
                let mut buffer = [0; MAX_MESSAGE];
                let (length, _) = processes::receive(self.control.as_fd(), &mut buffer).ok()?;
                return Report::decode(buffer.get(..length)?);
            }
            if spares {
                spare.hear(log);
            }
        }
    }
}

/// Has the zygote open the log files of the rules anew.
fn reopen_logs(zygote: &OwnedFd) {
    // A failure means that the zygote is gone: its successor gets the order.
    let _ = processes::send(zygote.as_fd(), &Order::ReopenLogs.encode(), &[]);
}

/// Has the zygote kill one of its engines.
fn kill_engine(zygote: &OwnedFd, engine: Pid) {
    // A failure means that the zygote is gone, and the engine with it.
    let _ = processes::send(zygote.as_fd(), &Order::Kill { pid: engine.as_raw() }.encode(), &[]);
}
