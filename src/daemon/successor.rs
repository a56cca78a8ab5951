//! Replacing the process by a new one of the same program, without closing the sockets that it listens on.
//!
//! Links that arrive meanwhile wait in the kernel. The new process has the same process id, options and environment, and
//! finds the numbers of the sockets in [`VARIABLE`]. It is in the background, has the user and sees the files that its
//! predecessor has changed to, so it does none of that again.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use actors::Socket;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;

use crate::daemon::pid_file::PidFile;
use crate::ffi::descriptor::{adopt, close_all_on_exec};

/// The environment variable with the numbers of the sockets, separated by commas. It is not for operators, so it lacks the
/// prefix of the variables that are.
const VARIABLE: &str = "_MODSECURITY_SPOA_SOCKETS";

/// The same with the number of the file that has the number of the process, if there is one.
const PID_FILE: &str = "_MODSECURITY_SPOA_PID_FILE";

/// The program of this process.
const RUNNING: &str = "/proc/self/exe";

/// The arguments, with the program's name in front, and the listening sockets for the new process.
pub(crate) struct Successor {
    args: Vec<OsString>,
    sockets: Vec<OwnedFd>,
    pid_file: Option<OwnedFd>,
}

/// What a predecessor has left to this process.
pub(crate) struct Inheritance {
    /// The sockets, in the order of its addresses.
    pub(crate) sockets: Vec<OwnedFd>,
    /// The file with the number of the process, locked.
    pub(crate) pid_file: Option<OwnedFd>,
}

impl Successor {
    /// Duplicates the sockets and the file with the number of the process, which keeps them open.
    ///
    /// # Errors
    /// When one of them cannot be duplicated.
    pub(crate) fn new(sockets: &[Socket], pid_file: Option<&PidFile>) -> io::Result<Self> {
        let keep = |socket: &Socket| match socket {
            Socket::Tcp(socket) => socket.as_fd().try_clone_to_owned(),
            Socket::Unix(socket) => socket.as_fd().try_clone_to_owned(),
        };
        Ok(Self {
            args: std::env::args_os().collect(),
            sockets: sockets.iter().map(keep).collect::<io::Result<_>>()?,
            pid_file: pid_file.map(PidFile::descriptor).transpose()?,
        })
    }

    /// Replaces this process by the new one, and so returns only an error.
    ///
    /// # Errors
    /// When the sockets cannot be passed on, or the program cannot be executed.
    pub(crate) fn exec(self) -> io::Result<Infallible> {
        close_all_on_exec()?;
        for descriptor in self.sockets.iter().chain(&self.pid_file) {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        let numbers: Vec<_> = self.sockets.iter().map(|socket| socket.as_raw_fd().to_string()).collect();
        let mut command = same_program(self.args);
        command.env(VARIABLE, numbers.join(","));
        if let Some(file) = &self.pid_file {
            command.env(PID_FILE, file.as_raw_fd().to_string());
        }
        Err(command.exec())
    }
}

/// The command that runs the program of this process, whatever has become of its file, with these arguments, of which the
/// first is the program's name.
pub(crate) fn same_program(args: impl IntoIterator<Item = OsString>) -> Command {
    let mut args = args.into_iter();
    let mut command = Command::new(RUNNING);
    command.arg0(args.next().unwrap_or_default()).args(args);
    command
}

/// Gives the process the name of the program as the command line has it: the kernel calls a process that was started by
/// [`same_program`] "exe".
pub(crate) fn keep_name(args: &[OsString]) {
    let is_named =
        |name: &OsStr| prctl::get_name().is_ok_and(|current| current.to_bytes() == name.as_bytes());
    let name = args.first().map(Path::new).and_then(Path::file_name);
    if let (Some(name), true) = (name, Path::new(RUNNING).file_name().is_some_and(is_named)) {
        // A process with the wrong name works as well.
        let _ = CString::new(name.as_bytes()).map(|name| prctl::set_name(&name));
    }
}

/// Takes over what a predecessor left; `None` without a predecessor.
///
/// # Errors
/// When an environment variable does not hold numbers of open descriptors.
pub(crate) fn inherited() -> io::Result<Option<Inheritance>> {
    let Ok(numbers) = std::env::var(VARIABLE) else { return Ok(None) };
    let taken =
        |text: &str| adopt(text.parse().map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause))?);
    let sockets = numbers.split(',').map(taken).collect::<io::Result<_>>()?;
    let pid_file = std::env::var(PID_FILE).ok().map(|number| taken(&number)).transpose()?;
    Ok(Some(Inheritance { sockets, pid_file }))
}
