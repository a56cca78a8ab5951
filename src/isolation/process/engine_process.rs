//! A worker's engine in a process of its own, as the worker sees it: an [`Engine`] like any other.
//!
//! The worker waits for each verdict in ticks, and after each tick the watchdog looks at the CPU time of the process.
//!
//! The worker hands over cheap requests in batches, as waking the process costs more than inspecting one. When the
//! process dies, the first request of the batch without a verdict is the one that it was inspecting, if the process has noted
//! in the shared memory that it was at one; the engine has not begun with the requests behind it.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{CauseOfEnd, Engine, EngineError, Failure, FailureKind, StartError};
use bytes::BytesMut;
use crossbeam::channel::{Receiver, TryRecvError};
use nix::sys::signal::Signal;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use slog::Logger;

use super::channel::{self, Received, WorkerEnd};
use super::engine_states::EngineExit;
use super::spawn_error::SpawnError;
use super::standard_error;
use super::wire;
use super::zygote_host::ZygoteHost;
use crate::isolation::EngineLimits;
use crate::isolation::watchdog::{Overrun, Subject, Watch};
use crate::message::HttpMessage;
use crate::message::verdict::Verdict;

/// The time between two looks of the watchdog.
const TICK: Duration = Duration::from_millis(20);

/// How often the worker looks for verdicts within a batch: the engine wakes it only at the end of the batch.
const GLANCE: Duration = Duration::from_millis(1);

/// How long a request may hold up the rest of its batch before the worker takes the rest back for other engines.
const STALL: Duration = Duration::from_millis(5);

/// How long to wait for the zygote's report of how an engine ended. It comes in well under a millisecond, unless the
/// machine is busy.
const NEWS: Duration = Duration::from_secs(1);

/// The engine of one worker, in a process of its own.
pub struct EngineProcess {
    channel: WorkerEnd,
    /// The buffer in which jobs are encoded, kept for the next one.
    job: BytesMut,
    pid: Pid,
    subject: Subject,
    end: Receiver<Infallible>,
    host: Arc<ZygoteHost>,
    /// Why this program has killed the engine, if it has: the zygote need not be asked.
    killed: Option<CauseOfEnd>,
    limits: EngineLimits,
    log: Logger,
}

impl EngineProcess {
    /// Lets the zygote fork an engine, which is ended when it exceeds these limits.
    ///
    /// # Errors
    /// When the memory that the engine shares with its worker cannot be made, or the zygote forks no engine.
    pub fn start(
        worker: usize,
        host: Arc<ZygoteHost>,
        limits: EngineLimits,
        log: &Logger,
    ) -> Result<Self, StartError> {
        let (channel, memory) = WorkerEnd::create()
            .map_err(|error| StartError::new(format!("no memory to share with an engine: {error}")))?;
        let (lines, standard_error) = standard_error::pipe().map_err(|error| {
            StartError::shortage(format!("no pipe for an engine's standard error: {error}"))
        })?;
        let descriptors = [memory.as_fd(), standard_error.as_fd()];
        let (pid, end) = host.spawn(worker, descriptors, channel.alarm()).map_err(|error| match error {
            SpawnError::Fork(_) => StartError::shortage(error),
            _ => StartError::new(error),
        })?;
        standard_error::follow(lines, pid, log).map_err(|error| {
            StartError::shortage(format!("no thread for the standard error of engine process {pid}: {error}"))
        })?;
        let clock = clock_getcpuclockid(pid).map_err(|errno| {
            StartError::new(format!("cannot read the CPU time of engine process {pid}: {errno}"))
        })?;
        let subject = Subject { clock, stat: format!("/proc/{pid}/stat") };
        Ok(Self {
            channel,
            job: BytesMut::new(),
            pid,
            subject,
            end,
            host,
            killed: None,
            limits,
            log: log.clone(),
        })
    }

    /// The pid of the engine's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Writes a batch that holds as many of the first requests as fit. Returns their number.
    ///
    /// # Errors
    /// When the first request is too long for any batch.
    fn write(&mut self, requests: &[&HttpMessage]) -> io::Result<usize> {
        self.channel.begin();
        let mut count = 0;
        for request in requests {
            self.job.clear();
            wire::encode_job(request, &mut self.job);
            if !self.channel.add(&self.job)? {
                break;
            }
            count += 1;
        }
        if self.job.capacity() > channel::KEPT {
            self.job = BytesMut::new();
        }
        Ok(count)
    }

    /// Hands over the batch, which holds the first `count` requests, and calls `outcome` for each with its index.
    /// Returns how many requests have their outcome: all of them when the batch stalled, since the rest is for other
    /// engines then.
    ///
    /// # Errors
    /// When the engine is lost, with the index of the request that it was inspecting.
    fn follow(
        &mut self,
        requests: &[&HttpMessage],
        mut count: usize,
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) -> Result<usize, (usize, EngineLoss)> {
        if is_over(&self.end) {
            return Err((0, EngineLoss::EndedBefore));
        }
        self.channel.hand_over();
        // Requests from this index on have their outcome already: other engines get them.
        let mut end = requests.len();
        for (place, &request) in requests.iter().enumerate() {
            if place == count {
                break;
            }
            let mut watch = Watch::new(&self.subject, self.limits, TICK, &self.log, request);
            let begin = Instant::now();
            let mut next_look = begin + TICK;
            let verdict = loop {
                let now = Instant::now();
                if now >= next_look {
                    watch.look().map_err(|overrun| (place, EngineLoss::Overrun(overrun)))?;
                    next_look = now + TICK;
                }
                if place + 1 < end && now >= begin + STALL {
                    count = self.channel.take_back();
                    (count..end).for_each(|place| outcome(place, Err(EngineError::NotBegun)));
                    end = count;
                }
                let patience = if place + 1 < end { GLANCE } else { next_look - now };
                match self.channel.wait(patience) {
                    Received::Verdict(frame) => break frame,
                    Received::Garbage => return Err((place, EngineLoss::Garbled)),
                    Received::Alarm | Received::Nothing if is_over(&self.end) => {
                        return Err((place, EngineLoss::Ended));
                    }
                    // The engine lives, so the alarm was set off by the engine itself.
                    Received::Alarm => return Err((place, EngineLoss::Garbled)),
                    Received::Nothing => {}
                }
            };
            let inspected = wire::decode_outcome(&verdict).map_err(|_| (place, EngineLoss::Garbled))?;
            outcome(place, inspected.map_err(EngineError::from));
        }
        Ok(if end == count { requests.len() } else { count })
    }

    /// Kills the process if it still runs. Returns the failure of the request at hand.
    fn bury(&mut self, loss: &EngineLoss) -> Failure {
        let (kind, cause, may_be_request) = match loss {
            EngineLoss::Ended | EngineLoss::EndedBefore | EngineLoss::Overrun(Overrun::Gone) => {
                // How it ended comes later, with the worker's crash: the request does not wait for the zygote's report.
                return Failure::new(FailureKind::Crash, format!("engine process {} ended", self.pid));
            }
            EngineLoss::Garbled => {
                (FailureKind::Crash, format!("engine process {} answers garbage", self.pid), true)
            }
            EngineLoss::Overrun(Overrun::TooLong(used)) => {
                let limit = self.limits.cpu;
                let cause = format!("engine process {} used {used:.1?} of CPU, {limit:?} allowed", self.pid);
                (FailureKind::Timeout, cause, true)
            }
            // It waits for something outside: a lock, a disk, a name server, or whoever has stopped it.
            EngineLoss::Overrun(Overrun::Stuck(time)) => (
                FailureKind::Timeout,
                format!("engine process {} stood still for {time:.1?}", self.pid),
                false,
            ),
        };
        self.killed = Some(CauseOfEnd { text: cause.clone(), may_be_request });
        self.host.kill(self.pid);
        Failure::new(kind, cause)
    }
}

impl Engine for EngineProcess {
    type Request = HttpMessage;
    type Verdict = Verdict;

    fn inspect(
        &mut self,
        requests: &[&HttpMessage],
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) {
        let mut first = 0;
        while let Some(rest @ [_, ..]) = requests.get(first..) {
            let mut shifted = |place, inspected| outcome(first + place, inspected);
            let followed = match self.write(rest) {
                Ok(count) => self.follow(rest, count, &mut shifted),
                Err(error) => {
                    shifted(0, Err(EngineError::Request(error.to_string())));
                    Ok(1)
                }
            };
            match followed {
                Ok(count) => first += count,
                Err((place, loss)) => {
                    let failure = self.bury(&loss);
                    let had_begun = self.channel.is_at_job();
                    let error = match loss {
                        EngineLoss::EndedBefore => EngineError::DeadBefore(failure),
                        EngineLoss::Ended | EngineLoss::Overrun(_) if !had_begun => {
                            EngineError::DeadBefore(failure)
                        }
                        _ => EngineError::Dead(failure),
                    };
                    return shifted(place, Err(error));
                }
            }
        }
    }

    fn at_a_time(&self) -> usize {
        channel::AT_A_TIME
    }

    fn end(&self) -> Receiver<Infallible> {
        self.end.clone()
    }

    fn cause_of_end(&self) -> Option<CauseOfEnd> {
        if let Some(killed) = &self.killed {
            return Some(killed.clone());
        }
        let end = self.host.end_of(self.pid, NEWS);
        let text = match end {
            Some(end) => format!("engine process {} ended: {end}", self.pid),
            None => format!("engine process {} ended, and its zygote has not reported how", self.pid),
        };
        // SIGKILL comes from outside: from the kernel when memory is short, or with the end of the zygote.
        let is_from_outside = match end {
            Some(EngineExit::Signal(signal)) => signal == Signal::SIGKILL as i32,
            Some(EngineExit::Status(_)) => false,
            Some(EngineExit::ZygoteDied) | None => true,
        };
        Some(CauseOfEnd { text, may_be_request: !is_from_outside })
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // The process ends by itself once its channel is closed, which happens when the fields are dropped.
        self.host.forget(self.pid);
    }
}

/// Why an engine process cannot be used any more.
#[derive(Debug)]
enum EngineLoss {
    /// The process has ended.
    Ended,
    /// The process had ended before it got the request.
    EndedBefore,
    /// The process wrote something that is no verdict.
    Garbled,
    /// The watchdog found that the process must be killed.
    Overrun(Overrun),
}

/// Whether this channel is closed.
fn is_over(end: &Receiver<Infallible>) -> bool {
    end.try_recv() == Err(TryRecvError::Disconnected)
}
