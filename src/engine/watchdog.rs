//! The watch over one request in an engine, by the CPU time that the engine uses: a busy machine is not mistaken for a
//! busy engine.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use slog::{Logger, warn};

use crate::engine::request::Request;

/// The share of the limit after which a request is logged as slow.
const SOFT: u32 = 4;

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
    clock: ClockId,
    /// CPU time that the request may use.
    limit: Duration,
    /// How often it is looked after.
    tick: Duration,
    log: &'a Logger,
    request: &'a Request,
    /// CPU time at the first look. What the request used before that is at most a tick.
    first: Option<Duration>,
    /// CPU time at the last look at which it had grown, and when that was.
    grown: (Duration, Instant),
    warned: bool,
}

impl<'a> Watch<'a> {
    /// Begins the watch. `clock` is that of the engine's CPU time.
    pub(super) fn new(
        clock: ClockId,
        limit: Duration,
        tick: Duration,
        log: &'a Logger,
        request: &'a Request,
    ) -> Self {
        let grown = (Duration::ZERO, Instant::now());
        Self { clock, limit, tick, log, request, first: None, grown, warned: false }
    }

    /// To be called once a tick: whether the engine may go on.
    pub(super) fn look(&mut self) -> Result<(), Overrun> {
        let cpu = Duration::from(clock_gettime(self.clock).map_err(|_| Overrun::Gone)?);
        let used = cpu.saturating_sub(*self.first.get_or_insert(cpu)) + self.tick;
        if used >= self.limit {
            return Err(Overrun::TooLong(used));
        }
        if cpu > self.grown.0 {
            self.grown = (cpu, Instant::now());
        }
        // An engine that only waits for its turn on a busy machine gets some CPU in that time.
        let still = self.grown.1.elapsed();
        if still >= self.limit {
            return Err(Overrun::Stuck(still));
        }
        if used >= self.limit / SOFT && !std::mem::replace(&mut self.warned, true) {
            warn!(self.log, "request is slow in the engine"; "cpu" => format!("{used:.1?}"), self.request);
        }
        Ok(())
    }
}
