//! A worker's engine in a process of its own, as the worker sees it: an [`Engine`] like any other.
//!
//! The worker waits for the verdict in ticks, and after each the watchdog looks at the CPU time of the process.

use std::convert::Infallible;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use actors::{Engine, EngineError, Failure, FailureKind, StartError};
use bytes::BytesMut;
use crossbeam::channel::Receiver;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use slog::Logger;

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
    socket: UnixStream,
    pid: Pid,
    subject: Subject,
    end: Receiver<Infallible>,
    keeper: Arc<Keeper>,
    /// By this program, and not by itself.
    was_ended: bool,
    limit: Duration,
    input: wire::Input,
    output: BytesMut,
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
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        socket.set_read_timeout(Some(TICK)).map_err(failed)?;
        socket.set_write_timeout(Some(TICK)).map_err(failed)?;
        let (pid, end) = keeper.spawn(worker, theirs.as_fd()).map_err(StartError)?;
        let clock = clock_getcpuclockid(pid).map_err(|errno| StartError(errno.to_string()))?;
        let (input, output) = (wire::Input::new(wire::MAX_VERDICT), BytesMut::new());
        let subject = Subject { clock, stat: format!("/proc/{pid}/stat") };
        Ok(Self {
            socket,
            pid,
            subject,
            end,
            keeper,
            was_ended: false,
            limit,
            input,
            output,
            log: log.clone(),
        })
    }

    /// Sends the job and waits for the frame that answers it.
    fn exchange(&mut self, watch: &mut Watch<'_>) -> Result<bytes::Bytes, Trouble> {
        let mut sent = 0;
        while let Some(rest) = self.output.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::BrokenPipe && sent == 0 => {
                    return Err(Trouble::EndedBefore);
                }
                Err(error) => look_after(watch, &error)?,
            }
        }
        loop {
            if let Some(frame) = self.input.take_frame().map_err(|_| Trouble::Garbled)? {
                return Ok(frame);
            }
            match self.input.fill(&mut self.socket) {
                Ok(0) => return Err(Trouble::Ended),
                Ok(_) => {}
                Err(error) => look_after(watch, &error)?,
            }
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
        self.output.clear();
        wire::encode_job(request, &mut self.output);
        let log = self.log.clone();
        let subject = self.subject.clone();
        let mut watch = Watch::new(&subject, self.limit, TICK, &log, request);
        let outcome = self.exchange(&mut watch).and_then(|frame| {
            let outcome = wire::decode_outcome(&frame).map_err(|_| Trouble::Garbled)?;
            if self.input.is_empty() { Ok(outcome) } else { Err(Trouble::Garbled) }
        });
        outcome.unwrap_or_else(|trouble| {
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
        // It ends by itself when its socket is closed, which is next.
        self.keeper.forget(self.pid);
    }
}

/// Why an engine cannot be used any more.
#[derive(Debug)]
enum Trouble {
    /// It closed its socket.
    Ended,
    /// It had closed its socket before the request came.
    EndedBefore,
    /// It wrote what is no verdict.
    Garbled,
    /// The watchdog ends it.
    Overrun(Overrun),
}

/// After a read or write that did not get through: whether to try on.
fn look_after(watch: &mut Watch<'_>, error: &io::Error) -> Result<(), Trouble> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => watch.look().map_err(|overrun| match overrun {
            Overrun::Gone => Trouble::Ended,
            overrun => Trouble::Overrun(overrun),
        }),
        ErrorKind::Interrupted => Ok(()),
        _ => Err(Trouble::Ended),
    }
}
