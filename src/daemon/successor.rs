//! Replacing the process by a new one of the same program, without closing the sockets that it listens on.
//!
//! Links that arrive meanwhile wait in the kernel. The new process has the same process id, options and environment, and
//! finds the numbers of the sockets in [`VARIABLE`].

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use actors::Socket;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::ffi::descriptor::{adopt, close_all_on_exec};

/// The environment variable with the numbers of the sockets, separated by commas. It is not for operators, so it lacks the
/// prefix of the variables that are.
const VARIABLE: &str = "_MODSECURITY_SPOA_SOCKETS";

/// The arguments and the listening sockets for the new process.
pub(crate) struct Successor {
    args: Vec<OsString>,
    sockets: Vec<OwnedFd>,
}

impl Successor {
    /// Duplicates the sockets, which keeps them open.
    ///
    /// # Errors
    /// When a socket cannot be duplicated.
    pub(crate) fn new(sockets: &[Socket]) -> io::Result<Self> {
        let keep = |socket: &Socket| match socket {
            Socket::Tcp(socket) => socket.as_fd().try_clone_to_owned(),
            Socket::Unix(socket) => socket.as_fd().try_clone_to_owned(),
        };
        Ok(Self {
            args: std::env::args_os().skip(1).collect(),
            sockets: sockets.iter().map(keep).collect::<io::Result<_>>()?,
        })
    }

    /// Replaces this process by the new one, and so returns only an error.
    ///
    /// # Errors
    /// When the sockets cannot be passed on, or the program cannot be executed.
    pub(crate) fn exec(self) -> io::Result<Infallible> {
        close_all_on_exec()?;
        for socket in &self.sockets {
            fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        let numbers: Vec<_> = self.sockets.iter().map(|socket| socket.as_raw_fd().to_string()).collect();
        let mut command = Command::new("/proc/self/exe");
        command.args(&self.args).env(VARIABLE, numbers.join(","));
        Err(command.exec())
    }
}

/// Takes over the sockets that a predecessor left, in the order of its addresses; `None` without a predecessor.
///
/// # Errors
/// When the environment variable does not hold numbers of open descriptors.
pub(crate) fn inherited() -> io::Result<Option<Vec<OwnedFd>>> {
    let Ok(numbers) = std::env::var(VARIABLE) else { return Ok(None) };
    let number =
        |text: &str| text.parse().map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause));
    numbers.split(',').map(|text| adopt(number(text)?)).collect::<io::Result<_>>().map(Some)
}
