//! A worker's engine in a process of its own, as the worker sees it: an [`Engine`] like any other.
//!
//! The worker waits for the verdict in ticks, and after each the watchdog looks at the CPU time of the process.

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

use super::channel::{self, Found, WorkerEnd};
use super::keeper::Keeper;
use super::wire;
use crate::engine::http_message::HttpMessage;
use crate::engine::verdict::Verdict;
use crate::engine::watchdog::{Overrun, Subject, Watch};

/// How often the watchdog looks.
const TICK: Duration = Duration::from_millis(20);

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
    keeper: Arc<Keeper>,
    /// By this program, and not by itself.
    was_ended: bool,
    limit: Duration,
    log: Logger,
}

impl EngineProcess {
    /// Has one forked. `limit` is the CPU time that it may use for one request.
    pub fn start(
        worker: usize,
        keeper: Arc<Keeper>,
        limit: Duration,
        log: &Logger,
    ) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError(error.to_string());
        let (channel, memory) = WorkerEnd::create().map_err(failed)?;
        let (pid, end) = keeper.spawn(worker, memory.as_fd(), channel.alarm()).map_err(StartError)?;
        let clock = clock_getcpuclockid(pid).map_err(|errno| StartError(errno.to_string()))?;
        let subject = Subject { clock, stat: format!("/proc/{pid}/stat") };
        Ok(Self {
            channel,
            job: BytesMut::new(),
            pid,
            subject,
            end,
            keeper,
            was_ended: false,
            limit,
            log: log.clone(),
        })
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Hands over the job and waits for what came of it.
    fn exchange(&mut self, request: &HttpMessage) -> Result<Result<Verdict, EngineError>, Trouble> {
        self.job.clear();
        wire::encode_job(request, &mut self.job);
        if is_over(&self.end) {
            return Err(Trouble::EndedBefore);
        }
        if let Err(error) = self.channel.hand_over(&self.job) {
            return Ok(Err(EngineError::Request(error.to_string())));
        }
        if self.job.capacity() > channel::KEPT {
            self.job = BytesMut::new();
        }
        let mut watch = Watch::new(&self.subject, self.limit, TICK, &self.log, request);
        let mut next_look = Instant::now() + TICK;
        let mut patience = TICK;
        loop {
            let found = self.channel.wait(patience);
            match found {
                Found::Verdict(frame) => return wire::decode_outcome(&frame).map_err(|_| Trouble::Garbled),
                Found::Garbage => return Err(Trouble::Garbled),
                Found::Alarm | Found::Nothing if is_over(&self.end) => return Err(Trouble::Ended),
                // Only the engine itself can have done that.
                Found::Alarm => return Err(Trouble::Garbled),
                Found::Nothing => {}
            }
            let now = Instant::now();
            if now >= next_look {
                watch.look().map_err(Trouble::Overrun)?;
                next_look = now + TICK;
            }
            patience = next_look - now;
        }
    }

    /// Ends the process, whatever it does, and says what is to be said of it.
    fn bury(&mut self, trouble: &Trouble) -> Failure {
        let (kind, cause) = match trouble {
            Trouble::Ended | Trouble::EndedBefore | Trouble::Overrun(Overrun::Gone) => {
                // The zygote knows how; nobody waits for that with a request at hand.
                return Failure::new(FailureKind::Crash, format!("engine process {} ended", self.pid));
            }
            Trouble::Garbled => (FailureKind::Crash, format!("engine process {} answers garbage", self.pid)),
            Trouble::Overrun(Overrun::TooLong(used)) => {
                let limit = self.limit;
                (
                    FailureKind::Timeout,
                    format!("engine process {} used {used:.1?} of CPU, {limit:?} allowed", self.pid),
                )
            }
            Trouble::Overrun(Overrun::Stuck(time)) => {
                (FailureKind::Timeout, format!("engine process {} stood still for {time:.1?}", self.pid))
            }
        };
        self.was_ended = true;
        self.keeper.kill(self.pid);
        Failure::new(kind, cause)
    }
}

impl Engine for EngineProcess {
    type Request = HttpMessage;
    type Verdict = Verdict;

    fn inspect(&mut self, request: &HttpMessage) -> Result<Verdict, EngineError> {
        self.exchange(request).unwrap_or_else(|trouble| {
            let failure = self.bury(&trouble);
            Err(match trouble {
                Trouble::EndedBefore => EngineError::DeadBefore(failure),
                _ => EngineError::Dead(failure),
            })
        })
    }

    fn end(&self) -> Receiver<Infallible> {
        self.end.clone()
    }

    fn cause_of_end(&self) -> Option<String> {
        if self.was_ended {
            return None;
        }
        let end = self.keeper.end_of(self.pid, NEWS);
        let end = end.map_or_else(|| "unknown".to_owned(), |end| end.to_string());
        Some(format!("engine process {} ended: {end}", self.pid))
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // It ends by itself when its channel is closed, which is next.
        self.keeper.forget(self.pid);
    }
}

/// Why an engine cannot be used any more.
#[derive(Debug)]
enum Trouble {
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
