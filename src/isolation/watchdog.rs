//! The watchdog over one request in an engine. It counts the CPU time of the engine and not the time of day, so that a
//! busy machine is not mistaken for a busy engine.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use slog::{Logger, warn};

use crate::isolation::EngineLimits;
use crate::message::HttpMessage;

/// A request that has used the limit of CPU time divided by this number is logged as slow.
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
    /// What the engine does that uses no CPU time at this moment.
    fn state(&self) -> State {
        // Bytes, as the process's name, which stands before the state in parentheses, need not be a text.
        std::fs::read(&self.stat).map_or(State::Unknown, |stat| State::of(&stat))
    }
}

/// What an engine does that has used no CPU time since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is ready to run, and the machine is busy with others; or it waits for a disk, which is not its fault.
    Held,
    /// It sleeps or is stopped.
    Still,
    /// It is dead, and not reaped yet.
    Dead,
    /// /proc does not say. The CPU time goes on being measured, and its clock tells when the engine is gone.
    Unknown,
}

impl State {
    /// From the content of a `stat` file.
    fn of(stat: &[u8]) -> Self {
        // The name may itself hold a parenthesis: the last one counts.
        let name_end = stat.windows(2).rposition(|pair| pair == b") ");
        match name_end.and_then(|end| stat.get(end + 2)) {
            Some(b'R' | b'D') => Self::Held,
            Some(b'Z' | b'X' | b'x') => Self::Dead,
            Some(_) => Self::Still,
            None => Self::Unknown,
        }
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
    limits: EngineLimits,
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
    /// Begins the watch over `request`, within these limits. [`Watch::look`] is to be called each `tick`.
    pub(super) fn new(
        subject: &'a Subject,
        limits: EngineLimits,
        tick: Duration,
        log: &'a Logger,
        request: &'a HttpMessage,
    ) -> Self {
        let last = Duration::ZERO;
        Self { subject, limits, tick, log, request, first: None, last, idle: None, warned: false }
    }

    /// Checks whether the engine may go on; to be called once a tick. Logs a slow request once.
    ///
    /// # Errors
    /// When the engine must be ended, or is gone.
    pub(super) fn look(&mut self) -> Result<(), Overrun> {
        let cpu = Duration::from(clock_gettime(self.subject.clock).map_err(|_| Overrun::Gone)?);
        let used = cpu.saturating_sub(*self.first.get_or_insert(cpu)) + self.tick;
        if used >= self.limits.cpu {
            return Err(Overrun::TooLong(used));
        }
        let moves = cpu > std::mem::replace(&mut self.last, cpu);
        match if moves { State::Held } else { self.subject.state() } {
            State::Held | State::Unknown => self.idle = None,
            State::Dead => return Err(Overrun::Gone),
            State::Still => {
                let (since, looks) = self.idle.get_or_insert((Instant::now(), 0));
                *looks += 1;
                let time = since.elapsed();
                if time >= self.limits.stall && *looks >= LOOKS {
                    return Err(Overrun::Stuck(time));
                }
            }
        }
        if used >= self.limits.cpu / SOFT && !std::mem::replace(&mut self.warned, true) {
            warn!(self.log, # "slow_request", "request is slow in the engine"; "cpu_ms" => used.as_millis() as u64, self.request);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_wait_for_a_disk_nor_an_unreadable_proc_is_standing_still() {
        let state = |letter: &str| State::of(format!("4711 (a) S b) {letter} 1 4711 0").as_bytes());
        assert_eq!(["R", "D"].map(state), [State::Held; 2]);
        assert_eq!(["S", "T", "t"].map(state), [State::Still; 3]);
        assert_eq!(["Z", "X"].map(state), [State::Dead; 2]);
        assert_eq!(
            ["", "4711", "4711 (name", "4711 (name) "].map(|stat| State::of(stat.as_bytes())),
            [State::Unknown; 4]
        );
        assert_eq!(State::of(b"4711 (\xFF\xFE) S 1"), State::Still);
        let clock = ClockId::CLOCK_PROCESS_CPUTIME_ID;
        assert_eq!(Subject { clock, stat: "/proc/self/nowhere".to_owned() }.state(), State::Unknown);
    }
}
