//! Replacing the process by a new one of the same program, without closing the sockets that it listens on.
//!
//! Links that arrive meanwhile wait in the kernel. The new process has the same process id, options and environment, and
//! finds the numbers of the sockets in [`VARIABLE`].

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use actors::Socket;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;

use crate::daemon::inherited::Bound;
use crate::daemon::pid_file::PidFile;
use crate::daemon::{activation, handover};
use crate::ffi::descriptor::{adopt, close_all_on_exec};

/// The environment variable with the numbers of the sockets, separated by commas. It is not for operators, so it lacks the
/// prefix of the variables that are.
const VARIABLE: &str = "_MODSECURITY_SPOA_SOCKETS";

/// What stands behind the number of a socket that the service manager has too.
const MANAGERS: &str = "m";

/// The environment variable with the number of the file that has the number of the process, if there is one.
const PID_FILE: &str = "_MODSECURITY_SPOA_PID_FILE";

/// The program of this process.
const RUNNING: &str = "/proc/self/exe";

/// The arguments, with the program's name in front, and the listening sockets for the new process.
pub(crate) struct Successor {
    /// The file of the program as it was at the start; another may be there now.
    program: PathBuf,
    args: Vec<OsString>,
    /// Each socket, and whether the service manager has it too.
    sockets: Vec<(OwnedFd, bool)>,
    pid_file: Option<OwnedFd>,
}

impl Successor {
    /// Duplicates the sockets and the file with the number of the process, which keeps them open.
    ///
    /// # Errors
    /// When one of them cannot be duplicated.
    pub(crate) fn new<'a>(
        sockets: impl Iterator<Item = &'a Bound>,
        pid_file: Option<&PidFile>,
    ) -> io::Result<Self> {
        let keep = |bound: &Bound| {
            let kept = match &bound.socket {
                Socket::Tcp(socket) | Socket::Tls(socket, _) => socket.as_fd().try_clone_to_owned(),
                Socket::Unix(socket) => socket.as_fd().try_clone_to_owned(),
            };
            Ok((kept?, bound.is_managers))
        };
        let args: Vec<_> = std::env::args_os().collect();
        Ok(Self {
            program: program(args.first())?,
            args,
            sockets: sockets.map(keep).collect::<io::Result<_>>()?,
            pid_file: pid_file.map(PidFile::descriptor).transpose()?,
        })
    }

    /// The sockets, and whether the service manager has each of them too.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.sockets.iter().map(|(socket, is_managers)| (socket.as_fd(), *is_managers))
    }

    /// The file with the number of the process.
    pub(crate) fn pid_file(&self) -> Option<BorrowedFd<'_>> {
        self.pid_file.as_ref().map(AsFd::as_fd)
    }

    /// The command that runs the program that is in the file now, with the same arguments.
    pub(crate) fn new_program(&self) -> Command {
        let mut args = self.args.iter();
        let mut command = Command::new(&self.program);
        command.arg0(args.next().cloned().unwrap_or_default()).args(args);
        command.env_remove(VARIABLE).env_remove(PID_FILE).env_remove("WATCHDOG_PID");
        for variable in activation::VARIABLES {
            command.env_remove(variable);
        }
        command
    }

    /// Replaces this process by the new one, and so returns only an error.
    ///
    /// # Errors
    /// When the sockets cannot be passed on, or the program cannot be executed.
    pub(crate) fn exec(self) -> io::Result<Infallible> {
        close_all_on_exec()?;
        for descriptor in self.sockets.iter().map(|(socket, _)| socket).chain(&self.pid_file) {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        let number = |(socket, is_managers): &(OwnedFd, bool)| {
            let mark = if *is_managers { MANAGERS } else { "" };
            format!("{}{mark}", socket.as_raw_fd())
        };
        let numbers: Vec<_> = self.sockets.iter().map(number).collect();
        let mut command = same_program(self.args);
        for variable in activation::VARIABLES {
            command.env_remove(variable);
        }
        command.env(VARIABLE, numbers.join(",")).env_remove(handover::VARIABLE);
        if let Some(file) = &self.pid_file {
            command.env(PID_FILE, file.as_raw_fd().to_string());
        }
        Err(command.exec())
    }
}

/// The path of the program's file. As the command line has it where that is a path from the root, since links on the way may
/// lead to another version later.
fn program(name: Option<&OsString>) -> io::Result<PathBuf> {
    match name.map(PathBuf::from).filter(|path| path.is_absolute() && path.exists()) {
        Some(path) => Ok(path),
        None => std::env::current_exe(),
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

/// Whether this process takes the place of another one, whose background, user and root of all files it has.
pub(crate) fn is_one() -> bool {
    [VARIABLE, handover::VARIABLE].into_iter().any(|name| std::env::var_os(name).is_some())
}

/// Takes over the file with the number of the process, locked, that a predecessor left; to be called once.
///
/// # Errors
/// When the environment variable does not hold the number of an open descriptor.
pub(crate) fn inherited_pid_file() -> io::Result<Option<OwnedFd>> {
    let Ok(number) = std::env::var(PID_FILE) else { return Ok(None) };
    let number = number.parse().map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause))?;
    adopt(number).map(Some)
}

/// Takes over the sockets that a predecessor left; `None` without a predecessor.
///
/// # Errors
/// When the environment variable does not hold numbers of listening sockets.
pub(crate) fn inherited() -> io::Result<Option<Vec<Bound>>> {
    let Ok(numbers) = std::env::var(VARIABLE) else { return Ok(None) };
    let take = |text: &str| {
        let number = text.trim_end_matches(MANAGERS).parse();
        let number = number.map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause))?;
        Bound::inherit(adopt(number)?, text.ends_with(MANAGERS))
    };
    numbers.split(',').map(take).collect::<io::Result<_>>().map(Some)
}
