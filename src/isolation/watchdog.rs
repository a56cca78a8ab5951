//! The watchdog over one request in an engine. It counts the CPU time of the engine and not the time of day, so that a
//! busy machine is not mistaken for a busy engine.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use slog::{Logger, warn};

use crate::message::HttpMessage;

/// A request that has used the limit divided by this number is logged as slow.
const SOFT: u32 = 4;

/// Looks in a row that must find the engine idle before it counts as stuck. One is not enough: a worker that was itself
/// kept from running may look at the very moment at which its engine is done.
const LOOKS: u32 = 5;

/// The process or thread of an engine, as the watchdog looks at it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The clock of the CPU time that the process or thread has used.
    pub(super) clock: ClockId,
    /// The path of its `stat` file in /proc (`proc_pid_stat(5)`).
    pub(super) stat: String,
}

impl Subject {
    /// The state as a letter, as ps(1) shows it; a space when the process or thread is gone.
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(&self.stat).unwrap_or_default();
        // The process's name stands before the state, in parentheses, and may itself hold a parenthesis: the last one
        // counts.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or(' ')
    }
}

/// Why an engine is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overrun {
    /// The engine has used this much CPU time.
    TooLong(Duration),
    /// The engine has used no CPU time for this long: it is stopped, or waits for something that does not come.
    Stuck(Duration),
    /// The process or thread does not exist any more.
    Gone,
}

/// The watch over one request.
pub(super) struct Watch<'a> {
    subject: &'a Subject,
    /// CPU time that the request may use.
    limit: Duration,
    /// The time between two looks.
    tick: Duration,
    log: &'a Logger,
    request: &'a HttpMessage,
    /// CPU time of the engine at the first look. The request has used at most a tick before that.
    first: Option<Duration>,
    /// CPU time of the engine at the last look.
    last: Duration,
    /// Since when the engine is idle, and the number of looks that have found it so.
    idle: Option<(Instant, u32)>,
    warned: bool,
}

impl<'a> Watch<'a> {
    /// Begins the watch over `request`, which may use `limit` of CPU time. [`Watch::look`] is to be called each `tick`.
    pub(super) fn new(
        subject: &'a Subject,
        limit: Duration,
        tick: Duration,
        log: &'a Logger,
        request: &'a HttpMessage,
    ) -> Self {
        let last = Duration::ZERO;
        Self { subject, limit, tick, log, request, first: None, last, idle: None, warned: false }
    }

    /// Checks whether the engine may go on; to be called once a tick. Logs a slow request once.
    ///
    /// # Errors
    /// When the engine must be ended, or is gone.
    pub(super) fn look(&mut self) -> Result<(), Overrun> {
        let cpu = Duration::from(clock_gettime(self.subject.clock).map_err(|_| Overrun::Gone)?);
        let used = cpu.saturating_sub(*self.first.get_or_insert(cpu)) + self.tick;
        if used >= self.limit {
            return Err(Overrun::TooLong(used));
        }
        let moves = cpu > std::mem::replace(&mut self.last, cpu);
        let state = if moves { 'R' } else { self.subject.state() };
        if matches!(state, 'Z' | 'X') {
            // A zombie: dead, and not reaped yet.
            return Err(Overrun::Gone);
        }
        if state == 'R' {
            // The engine is ready to run; a busy machine may keep it waiting for a CPU.
            self.idle = None;
        } else {
            let (since, looks) = self.idle.get_or_insert((Instant::now(), 0));
            *looks += 1;
            let time = since.elapsed();
            if time >= self.limit && *looks >= LOOKS {
                return Err(Overrun::Stuck(time));
            }
        }
        if used >= self.limit / SOFT && !std::mem::replace(&mut self.warned, true) {
            warn!(self.log, "request is slow in the engine"; "cpu_ms" => used.as_millis() as u64, self.request);
        }
        Ok(())
    }
}
