//! A worker's engine in a thread of the agent's own process (`--isolation thread`).
//!
//! The engine's thread is beside the worker's, which waits for it as it would for a process: so a fault parks the
//! engine's thread for good, and the worker is there to tell of it and to settle the request. From the first fault on the
//! process is tainted: what the engine did to the heap before it was caught is anybody's guess. It starts no more engines,
//! finishes what it has, and replaces itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use actors::{Engine, EngineError, Failure, FailureKind, StartError, one_by_one};
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use nix::unistd::gettid;
use slog::Logger;

use crate::ffi::fault::{self, FaultSlot};
use crate::isolation::EngineLimits;
use crate::isolation::watchdog::{Overrun, Subject, Watch};
use crate::message::HttpMessage;
use crate::message::verdict::Verdict;
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::{ModSecurity, Rules};

/// How often the worker looks after its engine.
const TICK: Duration = Duration::from_millis(5);

/// How long an engine may take to finish what waits in it.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// What engines in threads share.
pub struct Threads {
    /// The library and its rules.
    pub rules: Rules,
    /// What holds for each engine.
    pub limits: EngineLimits,
    tainted: AtomicBool,
    on_taint: Box<dyn Fn() + Send + Sync>,
}

impl Threads {
    /// `on_taint` is called once, at the first fault.
    #[must_use]
    pub fn new(rules: Rules, limits: EngineLimits, on_taint: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { rules, limits, tainted: AtomicBool::new(false), on_taint }
    }

    fn taint(&self) {
        if !self.tainted.swap(true, Ordering::Relaxed) {
            (self.on_taint)();
        }
    }
}

/// The engine of one worker.
pub struct EngineThread {
    shared: Arc<Threads>,
    /// Dropped first, to let the thread end.
    jobs: Option<Sender<HttpMessage>>,
    verdicts: Receiver<Result<Verdict, InspectionError>>,
    slot: &'static FaultSlot,
    /// It does not come back: parked, stuck or ended.
    is_lost: bool,
    subject: Subject,
    log: Logger,
}

impl EngineThread {
    /// Starts the thread.
    pub fn start(worker: usize, shared: Arc<Threads>, log: &Logger) -> Result<Self, StartError> {
        if shared.tainted.load(Ordering::Relaxed) {
            return Err(StartError::new("the process is tainted and about to be replaced"));
        }
        let (jobs, orders) = channel::bounded::<HttpMessage>(1);
        let (results, verdicts) = channel::bounded(1);
        let (say, said) = channel::bounded(1);
        let (rules, bounds) = (shared.rules.clone(), shared.limits.responses);
        let body = move || {
            // Transactions never leave their thread.
            let begin = || {
                let (slot, clock) = (fault::take_slot()?, fault::thread_clock()?);
                let engine = slot.guard(|| ModSecurity::new(&rules, bounds)).map_err(io::Error::other)?;
                Ok((slot, clock, engine))
            };
            let (slot, mut engine) = match begin() {
                Ok((slot, clock, engine)) => {
                    let subject = Subject { clock, stat: format!("/proc/self/task/{}/stat", gettid()) };
                    // The worker waits for this.
                    let _ = say.send(Ok((slot, subject)));
                    (slot, engine)
                }
                Err(error) => return drop(say.send(Err(error))),
            };
            loop {
                let order = match slot.guard(|| engine.housekeeping()) {
                    Some(patience) => orders.recv_timeout(patience),
                    None => orders.recv().map_err(RecvTimeoutError::from),
                };
                match order {
                    Ok(message) => {
                        if results.send(slot.guard(|| engine.inspect(&message))).is_err() {
                            break;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            slot.guard(|| drop(engine));
        };
        let failed = |error: std::io::Error| StartError::new(error);
        thread::Builder::new().name(format!("engine-{worker}")).spawn(body).map_err(failed)?;
        let (slot, subject) =
            said.recv().map_err(|_| StartError::new("the engine's thread ended"))?.map_err(failed)?;
        Ok(Self { shared, jobs: Some(jobs), verdicts, slot, is_lost: false, subject, log: log.clone() })
    }

    /// The engine is lost: tells what is to be told of it.
    fn lose(&mut self, kind: FailureKind, cause: String) -> EngineError {
        self.is_lost = true;
        self.shared.taint();
        EngineError::Dead(Failure::new(kind, cause))
    }

    fn inspect_one(&mut self, request: &HttpMessage) -> Result<Verdict, EngineError> {
        let ended = || "the engine's thread ended".to_owned();
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(request.clone()).is_err()) {
            return Err(self.lose(FailureKind::Crash, ended()));
        }
        let (subject, log) = (self.subject.clone(), self.log.clone());
        let mut watch = Watch::new(&subject, self.shared.limits.cpu, TICK, &log, request);
        loop {
            match self.verdicts.recv_timeout(TICK) {
                Ok(inspected) => return inspected.map_err(EngineError::from),
                Err(RecvTimeoutError::Disconnected) => return Err(self.lose(FailureKind::Crash, ended())),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(fault) = self.slot.fault() {
                let cause = format!("engine thread got {} at {:#x}", fault.signal, fault.address);
                return Err(self.lose(FailureKind::Crash, cause));
            }
            let cause = match watch.look() {
                Ok(()) => continue,
                Err(Overrun::TooLong(used)) => format!("engine thread used {used:.1?} of CPU"),
                Err(Overrun::Stuck(time)) => format!("engine thread stood still for {time:.1?}"),
                Err(Overrun::Gone) => ended(),
            };
            return Err(self.lose(FailureKind::Timeout, cause));
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
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        self.jobs = None;
        if !self.is_lost {
            // The thread finishes what waits in its engine: it says nothing more, but ends the channel.
            let _ = self.verdicts.recv_timeout(LAST_GRACE);
        }
    }
}
