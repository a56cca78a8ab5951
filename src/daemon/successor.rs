//! Replacing the process by a new one of the same program, without closing the sockets that it listens on.
//!
//! Links that come meanwhile wait in the kernel. The new process has the same number, options and environment, and finds
//! the sockets in [`VARIABLE`].

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use actors::Socket;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::ffi::descriptor::{adopt, close_all_on_exec};

/// The environment variable with the numbers of the sockets, separated by commas. Not for operators, so it lacks the
/// prefix of those that are.
const VARIABLE: &str = "_MODSECURITY_SPOA_SOCKETS";

/// What the new process needs.
pub(crate) struct Successor {
    args: Vec<OsString>,
    sockets: Vec<OwnedFd>,
}

impl Successor {
    /// Keeps hold of the sockets.
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

    /// Becomes the new process.
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

/// The sockets that a predecessor left, in the order of its addresses.
pub(crate) fn inherited() -> Option<io::Result<Vec<OwnedFd>>> {
    let numbers = std::env::var(VARIABLE).ok()?;
    let number = |number: &str| number.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    Some(numbers.split(',').map(|text| adopt(number(text)?)).collect())
}
