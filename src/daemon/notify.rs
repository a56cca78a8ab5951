//! The protocol of sd_notify(3): datagrams to the socket that the service manager names in NOTIFY_SOCKET.
//!
//! Without that variable nothing is sent. A manager that does not read costs the caller [`PATIENCE`] at most. A message
//! that is lost is missed by the manager alone, which has time limits of its own.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How long a message waits for room in the manager's socket.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a status text. It is shown on one line.
const MAX_STATUS: usize = 512;

/// One assignment of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State<'a> {
    /// The start or the reload is over: the service serves.
    Ready,
    /// A reload has begun now.
    Reloading,
    /// The service is about to end.
    Stopping,
    /// The service answers.
    Watchdog,
    /// What it does, for a human reader.
    Status(&'a str),
    /// The service's main process is this one from now on.
    MainPid(u32),
}

/// Sends messages to the service manager, if there is one.
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The longest time between two [`State::Watchdog`].
    watchdog: Option<Duration>,
}

impl Notifier {
    /// For the manager that the environment names.
    ///
    /// # Errors
    /// When the environment names a socket, and none can be made to send to it.
    pub(crate) fn from_environment() -> io::Result<Self> {
        let socket = match env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) {
            Some(name) => Some((socket()?, address(&name)?)),
            None => return Ok(Self::nobody()),
        };
        let [pid, period] = ["WATCHDOG_PID", "WATCHDOG_USEC"].map(|name| env::var(name).ok());
        Ok(Self { socket, watchdog: watchdog(pid.as_deref(), period.as_deref(), std::process::id()) })
    }

    /// For no manager.
    pub(crate) fn nobody() -> Self {
        Self { socket: None, watchdog: None }
    }

    /// Whether anybody is told.
    pub(crate) fn is_on(&self) -> bool {
        self.socket.is_some()
    }

    /// The longest time between two [`State::Watchdog`] that the manager accepts; `None` if it expects none.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.is_on())
    }

    /// Sends these in one message. What is told again and again does not wait for a manager that does not read.
    pub(crate) fn tell(&self, states: &[State<'_>]) {
        let is_usual = |state: &State<'_>| matches!(state, State::Watchdog | State::Status(_));
        if let Some((socket, manager)) = &self.socket {
            // The service goes on without its manager.
            let _ = socket.set_nonblocking(states.iter().all(is_usual));
            let _ = socket.send_to_addr(message(states).as_bytes(), manager);
        }
    }
}

fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// The longest time between two signs of life that the manager accepts from the process `own`.
fn watchdog(pid: Option<&str>, period: Option<&str>, own: u32) -> Option<Duration> {
    let is_own = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let period = period?.parse().ok().filter(|&period: &u64| is_own && period > 0);
    period.map(Duration::from_micros)
}

/// The address behind a name: a path, or with an @ in front a name in the kernel.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "NOTIFY_SOCKET is neither a path nor @NAME")),
    }
}

fn message(states: &[State<'_>]) -> String {
    let mut text = String::new();
    for state in states {
        // Writing to a String does not fail.
        let _ = match state {
            State::Ready => writeln!(text, "READY=1"),
            State::Reloading => writeln!(text, "RELOADING=1\nMONOTONIC_USEC={}", monotonic_usec()),
            State::Stopping => writeln!(text, "STOPPING=1"),
            State::Watchdog => writeln!(text, "WATCHDOG=1"),
            State::MainPid(pid) => writeln!(text, "MAINPID={pid}"),
            State::Status(status) => writeln!(text, "STATUS={}", one_line(status)),
        };
    }
    text
}

/// The text without line ends, each of which would begin another assignment.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for char in text.chars().map(|char| if char.is_control() { ' ' } else { char }) {
        if line.len() + char.len_utf8() > MAX_STATUS {
            break;
        }
        line.push(char);
    }
    line
}

/// The time since the machine's start in microseconds; 0 if there is no such clock.
pub(crate) fn monotonic_usec() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_for_one_process() {
        let period = Some(Duration::from_micros(500));
        assert_eq!([None, Some("7")].map(|pid| watchdog(pid, Some("500"), 7)), [period; 2]);
        assert_eq!(watchdog(Some("8"), Some("500"), 7), None);
        assert_eq!([None, Some("0"), Some("soon")].map(|period| watchdog(None, period, 7)), [None; 3]);
    }

    #[test]
    fn a_status_cannot_begin_another_assignment() {
        assert_eq!(message(&[State::Ready, State::Status("a\nMAINPID=1")]), "READY=1\nSTATUS=a MAINPID=1\n");
        assert_eq!(one_line(&"ä".repeat(MAX_STATUS)).len(), MAX_STATUS);
    }
}
