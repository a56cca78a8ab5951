//! A worker's engine in a thread of the agent's own process (`--isolation thread`).
//!
//! The engine has a thread beside the worker's, and the worker waits for it as it would for a process. So a fault can
//! park the engine's thread for good, while the worker logs the fault and settles the request. From the first fault on
//! the process is tainted, since the engine may have damaged the heap before the fault: it starts no more engines,
//! finishes the requests that it has, and replaces itself.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use actors::{CauseOfEnd, Engine, EngineError, Failure, FailureKind, StartError, one_by_one};
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use nix::unistd::gettid;
use slog::{Logger, error, info};

use crate::ffi::fault::{self, FaultSlot};
use crate::isolation::EngineLimits;
use crate::isolation::gate::Gate;
use crate::isolation::watchdog::{Overrun, Subject, Watch};
use crate::message::HttpMessage;
use crate::message::verdict::Verdict;
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::{LogFiles, ModSecurity, Rules};

/// How often the worker checks for a fault and lets the watchdog look.
const TICK: Duration = Duration::from_millis(5);

/// How long an engine may take to finish its parked transactions at the end.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// What all engines in threads share.
pub struct Threads {
    /// The library and its rules.
    pub rules: Rules,
    /// The limits of each engine.
    pub limits: EngineLimits,
    /// The log files that the rules have open.
    logs: Mutex<LogFiles>,
    gate: Gate,
    tainted: AtomicBool,
    on_taint: Box<dyn Fn() + Send + Sync>,
}

impl Threads {
    /// Loaded rules for engines in threads. `on_taint` is called once, at the first fault.
    #[must_use]
    pub fn new(rules: Rules, limits: EngineLimits, on_taint: Box<dyn Fn() + Send + Sync>) -> Self {
        let logs = Mutex::new(rules.log_files());
        Self { rules, limits, logs, gate: Gate::default(), tainted: AtomicBool::new(false), on_taint }
    }

    /// Opens the log files of the rules anew, while no engine writes to them.
    pub(super) fn reopen_logs(&self, log: &Logger) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let reopened = self.gate.while_closed(|| logs.reopen());
        match reopened {
            Ok(files) => info!(log, # "audit_logs_reopened", "audit logs reopened"; "files" => files),
            Err(error) => error!(log, # "audit_logs_not_reopened",
                "audit log cannot be reopened, going on with the old one"; "cause" => ?error.to_string()),
        }
    }

    fn taint(&self) {
        if !self.tainted.swap(true, Ordering::Relaxed) {
            (self.on_taint)();
        }
    }
}

/// The engine of one worker, in a thread of its own.
pub struct EngineThread {
    shared: Arc<Threads>,
    /// The way to the thread; `None` once the thread is to end.
    jobs: Option<Sender<HttpMessage>>,
    verdicts: Receiver<Result<Verdict, InspectionError>>,
    slot: &'static FaultSlot,
    /// The thread is parked, stuck or ended, and will answer nothing more: why.
    lost: Option<CauseOfEnd>,
    subject: Subject,
    log: Logger,
}

impl EngineThread {
    /// Starts the thread, makes the engine in it, and waits until the engine is ready.
    ///
    /// # Errors
    /// When the process is tainted, the thread cannot be started, or the engine in it cannot be made.
    pub fn start(worker: usize, shared: Arc<Threads>, log: &Logger) -> Result<Self, StartError> {
        if shared.tainted.load(Ordering::Relaxed) {
            return Err(StartError::new("the process is tainted and about to be replaced"));
        }
        let (jobs, inbox) = channel::bounded::<HttpMessage>(1);
        let (results, verdicts) = channel::bounded(1);
        let (ready, started) = channel::bounded(1);
        let (rules, limits, engines) = (shared.rules.clone(), shared.limits.responses, Arc::clone(&shared));
        let body = move || {
            // The engine is made on this thread, as its transactions may not move to another.
            let begin = || {
                let (slot, clock) = (fault::take_slot()?, fault::thread_clock()?);
                let engine = slot.guard(|| ModSecurity::new(&rules, limits)).map_err(io::Error::other)?;
                Ok((slot, clock, engine))
            };
            let (slot, mut engine) = match begin() {
                Ok((slot, clock, engine)) => {
                    let subject = Subject { clock, stat: format!("/proc/self/task/{}/stat", gettid()) };
                    // This cannot fail: the worker waits for it.
                    let _ = ready.send(Ok((slot, subject)));
                    (slot, engine)
                }
                Err(error) => return drop(ready.send(Err(error))),
            };
            loop {
                let finished = {
                    let _pass = engines.gate.enter();
                    slot.guard(|| engine.housekeeping())
                };
                let next = match finished {
                    Some(patience) => inbox.recv_timeout(patience),
                    None => inbox.recv().map_err(RecvTimeoutError::from),
                };
                match next {
                    Ok(message) => {
                        let inspected = {
                            let _pass = engines.gate.enter();
                            slot.guard(|| engine.inspect(&message))
                        };
                        if results.send(inspected).is_err() {
                            break;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            let _pass = engines.gate.enter();
            slot.guard(|| drop(engine));
        };
        let failed = |error: std::io::Error| StartError::new(error);
        let spawned = thread::Builder::new().name(format!("engine-{worker}")).spawn(body);
        spawned.map_err(|error| {
            let cause = format!("the system gives it no thread: {error} (systemd's TasksMax=, ulimit -u)");
            StartError::shortage(cause)
        })?;
        let (slot, subject) =
            started.recv().map_err(|_| StartError::new("the engine's thread ended"))?.map_err(failed)?;
        Ok(Self { shared, jobs: Some(jobs), verdicts, slot, lost: None, subject, log: log.clone() })
    }

    /// Marks the engine as lost and the process as tainted. Returns the failure of the request.
    fn lose(&mut self, kind: FailureKind, cause: String, may_be_request: bool) -> EngineError {
        self.lost = Some(CauseOfEnd { text: cause.clone(), may_be_request });
        self.shared.taint();
        EngineError::Dead(Failure::new(kind, cause))
    }

    fn inspect_one(&mut self, request: &HttpMessage) -> Result<Verdict, EngineError> {
        let ended = || "the engine's thread ended".to_owned();
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(request.clone()).is_err()) {
            return Err(self.lose(FailureKind::Crash, ended(), true));
        }
        let (subject, log) = (self.subject.clone(), self.log.clone());
        let mut watch = Watch::new(&subject, self.shared.limits, TICK, &log, request);
        loop {
            match self.verdicts.recv_timeout(TICK) {
                Ok(inspected) => return inspected.map_err(EngineError::from),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.lose(FailureKind::Crash, ended(), true));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(fault) = self.slot.fault() {
                let cause = format!("engine thread got {} at {:#x}", fault.signal, fault.address);
                return Err(self.lose(FailureKind::Crash, cause, true));
            }
            let (cause, may_be_request) = match watch.look() {
                Ok(()) => continue,
                Err(Overrun::TooLong(used)) => (format!("engine thread used {used:.1?} of CPU"), true),
                // It waits for something outside: a lock, a disk, a name server.
                Err(Overrun::Stuck(time)) => (format!("engine thread stood still for {time:.1?}"), false),
                Err(Overrun::Gone) => (ended(), true),
            };
            return Err(self.lose(FailureKind::Timeout, cause, may_be_request));
        }
    }
}

impl Engine for EngineThread {
    type Request = HttpMessage;
    type Verdict = Verdict;

    fn inspect(
        &mut self,
        messages: &[&HttpMessage],
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) {
        one_by_one(messages, outcome, |message| self.inspect_one(message));
    }

    fn cause_of_end(&self) -> Option<CauseOfEnd> {
        self.lost.clone()
    }
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        self.jobs = None;
        if self.lost.is_none() {
            // The thread finishes its parked transactions and ends, which closes the channel: no verdict can come here.
            let _ = self.verdicts.recv_timeout(LAST_GRACE);
        }
    }
}
