//! The watch over one request in an engine, by the CPU time that the engine uses: a busy machine is not mistaken for a
//! busy engine.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use slog::{Logger, warn};

use crate::message::HttpMessage;

/// The share of the limit after which a request is logged as slow.
const SOFT: u32 = 4;

/// Looks at which an engine must be found standing still, as a worker that was itself not run for a while may look at the
/// very moment at which its engine is done.
const LOOKS: u32 = 5;

/// Where to look at an engine.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The clock of its CPU time.
    pub(super) clock: ClockId,
    /// Its `stat` in /proc (proc_pid_stat(5)).
    pub(super) stat: String,
}

impl Subject {
    /// Its state, as a letter of ps(1)'s; a space when there is none.
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(&self.stat).unwrap_or_default();
        // The name before it may hold anything, so from behind.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or(' ')
    }
}

/// Why an engine is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overrun {
    /// It used this much CPU time.
    TooLong(Duration),
    /// It used none for so long: it is stopped, or waits for what will not come.
    Stuck(Duration),
    /// There is no such process or thread any more.
    Gone,
}

/// The watch over one request.
pub(super) struct Watch<'a> {
    subject: &'a Subject,
    /// CPU time that the request may use.
    limit: Duration,
    /// How often it is looked after.
    tick: Duration,
    log: &'a Logger,
    request: &'a HttpMessage,
    /// CPU time at the first look. What the request used before that is at most a tick.
    first: Option<Duration>,
    /// CPU time at the last look.
    last: Duration,
    /// Since when it stands still, and how often it was found so.
    still: Option<(Instant, u32)>,
    warned: bool,
}

impl<'a> Watch<'a> {
    /// Begins the watch.
    pub(super) fn new(
        subject: &'a Subject,
        limit: Duration,
        tick: Duration,
        log: &'a Logger,
        request: &'a HttpMessage,
    ) -> Self {
        let last = Duration::ZERO;
        Self { subject, limit, tick, log, request, first: None, last, still: None, warned: false }
    }

    /// To be called once a tick: whether the engine may go on.
    pub(super) fn look(&mut self) -> Result<(), Overrun> {
        let cpu = Duration::from(clock_gettime(self.subject.clock).map_err(|_| Overrun::Gone)?);
        let used = cpu.saturating_sub(*self.first.get_or_insert(cpu)) + self.tick;
        if used >= self.limit {
            return Err(Overrun::TooLong(used));
        }
        let moves = cpu > std::mem::replace(&mut self.last, cpu);
        let state = if moves { 'R' } else { self.subject.state() };
        if matches!(state, 'Z' | 'X') {
            // Dead, though nobody has reaped it yet.
            return Err(Overrun::Gone);
        }
        if state == 'R' {
            // It could use CPU time if it were given some: a busy machine may keep it waiting.
            self.still = None;
        } else {
            let (since, looks) = self.still.get_or_insert((Instant::now(), 0));
            *looks += 1;
            let time = since.elapsed();
            if time >= self.limit && *looks >= LOOKS {
                return Err(Overrun::Stuck(time));
            }
        }
        if used >= self.limit / SOFT && !std::mem::replace(&mut self.warned, true) {
            warn!(self.log, "request is slow in the engine"; "cpu" => format!("{used:.1?}"), self.request);
        }
        Ok(())
    }
}
