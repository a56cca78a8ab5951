//! What an engine writes on its standard error: a pipe of its own, whose lines the front logs.
//!
//! It may be an exploited one that writes. So a line is cut and quoted, the number of lines in a time is bounded, the name
//! of the engine is the front's word, and no engine waits for the log: what does not fit in the pipe is lost.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, pipe2};
use slog::{Logger, error, warn};

use super::sandbox::name_of;
use crate::ffi::forbidden_call::SAID;
use crate::message::quoted::Quoted;

/// Bytes after which a line ends, whatever comes next.
const MAX_LINE: usize = 1024;

/// Lines that an engine may say at once.
const BURST: u32 = 8;

/// The time after which it may say one more.
const REFILL: Duration = Duration::from_secs(1);

/// Bytes of the stack of a thread that logs lines.
const STACK: usize = 128 * 1024;

/// A pipe: the end that is read here, and the one for the engine.
///
/// # Errors
/// When there are no more descriptors.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}

/// Logs what comes out of a pipe, until the engine is gone.
///
/// # Errors
/// When there are no more threads.
pub(super) fn follow(pipe: OwnedFd, engine: Pid, log: &Logger) -> io::Result<()> {
    let log = log.clone();
    let follow = move || Lines { pipe: pipe.into(), engine, log }.log_all();
    thread::Builder::new().name("engine_says".to_owned()).stack_size(STACK).spawn(follow).map(drop)
}

struct Lines {
    pipe: File,
    engine: Pid,
    log: Logger,
}

impl Lines {
    fn log_all(mut self) {
        let mut line = Vec::new();
        let mut buffer = [0; MAX_LINE];
        let (mut left, mut since) = (BURST, Instant::now());
        loop {
            let read = match self.pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            for &byte in buffer.iter().take(read) {
                if byte != b'\n' {
                    line.push(byte);
                }
                if (byte == b'\n' || line.len() == MAX_LINE) && left > 0 {
                    self.log_line(&line);
                    left -= 1;
                }
                if byte == b'\n' || line.len() == MAX_LINE {
                    line.clear();
                }
            }
            if left == 0 && !self.is_over_in(REFILL) {
                warn!(self.log, # "engine_says_more", "engine says more than is logged"; "process" => self.engine.as_raw());
            }
            let refilled = since.elapsed().as_secs() / REFILL.as_secs().max(1);
            if refilled > 0 {
                since = Instant::now();
                left = left.saturating_add(u32::try_from(refilled).unwrap_or(BURST)).min(BURST);
            }
        }
        if !line.is_empty() && left > 0 {
            self.log_line(&line);
        }
    }

    fn log_line(&self, line: &[u8]) {
        let number = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(SAID)?.parse().ok());
        match number {
            Some(number) => {
                error!(self.log, # "forbidden_system_call", "engine made a forbidden system call"; "process" => self.engine.as_raw(),
                "system_call" => name_of(number).unwrap_or("unknown"), "number" => number)
            }
            None => {
                warn!(self.log, # "engine_says", "engine says"; "process" => self.engine.as_raw(), "text" => %Quoted(line))
            }
        }
    }

    /// Waits this long, or until nobody writes any more: whether that came first.
    fn is_over_in(&self, time: Duration) -> bool {
        let mut pipe = [PollFd::new(self.pipe.as_fd(), PollFlags::empty())];
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
        // Whatever cut it short, there is more to read, or nothing.
        poll(&mut pipe, time).is_ok_and(|count| count > 0)
    }
}
