//! A worker's engine in a process of its own, as the worker sees it: an [`Engine`] like any other.
//!
//! The worker waits for the verdict in ticks, and after each the watchdog looks at the CPU time of the process.
//!
//! Cheap requests are handed over several at a time, as waking the process costs more than they do. What the process was
//! at when it died is the first without a verdict; those behind it were not begun.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{Engine, EngineError, Failure, FailureKind, StartError};
use bytes::BytesMut;
use crossbeam::channel::{Receiver, TryRecvError};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use slog::Logger;

use super::channel::{self, Received, WorkerEnd};
use super::standard_error;
use super::wire;
use super::zygote_host::ZygoteHost;
use crate::isolation::watchdog::{Overrun, Subject, Watch};
use crate::message::HttpMessage;
use crate::message::verdict::Verdict;

/// How often the watchdog looks.
const TICK: Duration = Duration::from_millis(20);

/// How often the worker looks for verdicts while there are more to come: nobody wakes it for each.
const GLANCE: Duration = Duration::from_millis(1);

/// How long a request may keep those behind it waiting, until others get them.
const STALL: Duration = Duration::from_millis(5);

/// How long to wait for the news of how an engine ended. The zygote has them in well under a millisecond, unless the
/// machine is busy.
const NEWS: Duration = Duration::from_secs(1);

/// The engine of one worker.
pub struct EngineProcess {
    channel: WorkerEnd,
    /// Room for a job, to be used again.
    job: BytesMut,
    pid: Pid,
    subject: Subject,
    end: Receiver<Infallible>,
    zygote_host: Arc<ZygoteHost>,
    /// By this program, and not by itself.
    was_ended: bool,
    limit: Duration,
    log: Logger,
}

impl EngineProcess {
    /// Has one forked. `limit` is the CPU time that it may use for one request.
    pub fn start(
        worker: usize,
        zygote_host: Arc<ZygoteHost>,
        limit: Duration,
        log: &Logger,
    ) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError(error.to_string());
        let (channel, memory) = WorkerEnd::create().map_err(failed)?;
        let (said, standard_error) = standard_error::pipe().map_err(failed)?;
        let descriptors = [memory.as_fd(), standard_error.as_fd()];
        let (pid, end) = zygote_host.spawn(worker, descriptors, channel.alarm()).map_err(StartError)?;
        standard_error::follow(said, pid, log).map_err(failed)?;
        let clock = clock_getcpuclockid(pid).map_err(|errno| StartError(errno.to_string()))?;
        let subject = Subject { clock, stat: format!("/proc/{pid}/stat") };
        Ok(Self {
            channel,
            job: BytesMut::new(),
            pid,
            subject,
            end,
            zygote_host,
            was_ended: false,
            limit,
            log: log.clone(),
        })
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Writes a batch of the first of these requests; says how many. An error: the first of them is too long for any.
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

    /// Hands over the batch of the first `count` of these requests and tells what comes of each by its place; says how many
    /// are dealt with: all, when those that wait are others' to inspect. An error is the end, while the engine was at the
    /// request of the place that is given with it.
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
        let mut waiting = requests.len();
        for (place, &request) in requests.iter().enumerate() {
            if place == count {
                break;
            }
            let mut watch = Watch::new(&self.subject, self.limit, TICK, &self.log, request);
            let begin = Instant::now();
            let mut next_look = begin + TICK;
            let verdict = loop {
                let now = Instant::now();
                if now >= next_look {
                    watch.look().map_err(|overrun| (place, EngineLoss::Overrun(overrun)))?;
                    next_look = now + TICK;
                }
                if place + 1 < waiting && now >= begin + STALL {
                    count = self.channel.take_back();
                    (count..waiting).for_each(|place| outcome(place, Err(EngineError::NotBegun)));
                    waiting = count;
                }
                let patience = if place + 1 < waiting { GLANCE } else { next_look - now };
                match self.channel.wait(patience) {
                    Received::Verdict(frame) => break frame,
                    Received::Garbage => return Err((place, EngineLoss::Garbled)),
                    Received::Alarm | Received::Nothing if is_over(&self.end) => {
                        return Err((place, EngineLoss::Ended));
                    }
                    // Only the engine itself can have done that.
                    Received::Alarm => return Err((place, EngineLoss::Garbled)),
                    Received::Nothing => {}
                }
            };
            let inspected = wire::decode_outcome(&verdict).map_err(|_| (place, EngineLoss::Garbled))?;
            outcome(place, inspected.map_err(EngineError::from));
        }
        Ok(if waiting == count { requests.len() } else { count })
    }

    /// Ends the process, whatever it does, and says what is to be said of it.
    fn bury(&mut self, trouble: &EngineLoss) -> Failure {
        let (kind, cause) = match trouble {
            EngineLoss::Ended | EngineLoss::EndedBefore | EngineLoss::Overrun(Overrun::Gone) => {
                // The zygote knows how; nobody waits for that with a request at hand.
                return Failure::new(FailureKind::Crash, format!("engine process {} ended", self.pid));
            }
            EngineLoss::Garbled => {
                (FailureKind::Crash, format!("engine process {} answers garbage", self.pid))
            }
            EngineLoss::Overrun(Overrun::TooLong(used)) => {
                let limit = self.limit;
                (
                    FailureKind::Timeout,
                    format!("engine process {} used {used:.1?} of CPU, {limit:?} allowed", self.pid),
                )
            }
            EngineLoss::Overrun(Overrun::Stuck(time)) => {
                (FailureKind::Timeout, format!("engine process {} stood still for {time:.1?}", self.pid))
            }
        };
        self.was_ended = true;
        self.zygote_host.kill(self.pid);
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
            let mut told = |place, inspected| outcome(first + place, inspected);
            let followed = match self.write(rest) {
                Ok(count) => self.follow(rest, count, &mut told),
                Err(error) => {
                    told(0, Err(EngineError::Request(error.to_string())));
                    Ok(1)
                }
            };
            match followed {
                Ok(count) => first += count,
                Err((place, trouble)) => {
                    let failure = self.bury(&trouble);
                    let error = match trouble {
                        EngineLoss::EndedBefore => EngineError::DeadBefore(failure),
                        _ => EngineError::Dead(failure),
                    };
                    return told(place, Err(error));
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

    fn cause_of_end(&self) -> Option<String> {
        if self.was_ended {
            return None;
        }
        let end = self.zygote_host.end_of(self.pid, NEWS);
        let end = end.map_or_else(|| "unknown".to_owned(), |end| end.to_string());
        Some(format!("engine process {} ended: {end}", self.pid))
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // It ends by itself when its channel is closed, which is next.
        self.zygote_host.forget(self.pid);
    }
}

/// Why an engine cannot be used any more.
#[derive(Debug)]
enum EngineLoss {
    /// It is gone.
    Ended,
    /// It was gone before it got the request.
    EndedBefore,
    /// It wrote what is no verdict.
    Garbled,
    /// The watchdog ends it.
    Overrun(Overrun),
}

/// Whether this channel is closed.
fn is_over(end: &Receiver<Infallible>) -> bool {
    end.try_recv() == Err(TryRecvError::Disconnected)
}
