//! Going into the background (`--daemon`): before the first thread, as a fork copies the calling thread alone.
//!
//! The process that was started waits on a pipe and ends with 0 when the agent serves, or with 1 and the reason. The agent
//! is its grandchild: leader of no session, so that no terminal can become its own, in the folder `/`, with a umask that
//! leaves others nothing, and with `/dev/null` as its standard descriptors. Only a standard error that is a file stays: the
//! log goes on there, and nobody waits for a file to be closed.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout};

use crate::ffi::processes::{self, Twin};

/// What the agent writes into the pipe when it serves. The reason of a failure never begins with it.
const READY: u8 = 0;

/// What others may not do with files that the agent makes.
const UMASK: Mode = Mode::S_IWGRP.union(Mode::S_IRWXO);

/// The way to the process that waits for the agent to serve; without one, both methods do nothing.
#[derive(Debug, Default)]
pub(crate) struct Starter(Option<io::PipeWriter>);

impl Starter {
    /// Lets the waiting process end with 0.
    pub(crate) fn ready(&mut self) {
        self.tell(&[READY]);
    }

    /// Lets the waiting process say why the agent does not serve, and end with 1. Returns whether there is one.
    pub(crate) fn failed(&mut self, cause: &str) -> bool {
        self.tell(cause.as_bytes())
    }

    fn tell(&mut self, what: &[u8]) -> bool {
        // A failure means that nobody waits any more.
        self.0.take().is_some_and(|mut pipe| pipe.write_all(what).is_ok())
    }
}

/// Which process goes on after [`detach`].
#[derive(Debug)]
pub(crate) enum Side {
    /// The one that was started, at the end of its wait: the agent serves, or the reason why it does not.
    Starter(Result<(), String>),
    /// The agent.
    Agent(Starter),
}

/// Whether the log would be lost on the standard error of a process in the background: it is no file.
pub(crate) fn loses_standard_error() -> bool {
    let kind = fstat(io::stderr()).map(|found| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT);
    kind != Ok(SFlag::S_IFREG)
}

/// Forks the agent off. Returns in the agent, and in the calling process when the agent serves or has failed.
///
/// # Errors
/// When the system has no process or pipe for it.
pub(crate) fn detach() -> io::Result<Side> {
    let (mut outcome, told) = io::pipe()?;
    match processes::fork_detached()? {
        Twin::Original => {
            drop(told);
            let mut said = Vec::new();
            outcome.read_to_end(&mut said)?;
            Ok(Side::Starter(match said.as_slice() {
                [READY] => Ok(()),
                [] => Err("the agent ended before it served".to_owned()),
                cause => Err(String::from_utf8_lossy(cause).into_owned()),
            }))
        }
        Twin::Copy => {
            drop(outcome);
            chdir("/")?;
            umask(UMASK);
            close_standard_descriptors()?;
            Ok(Side::Agent(Starter(Some(told))))
        }
    }
}

/// Replaces the standard descriptors by `/dev/null`, except a standard error that is a file.
fn close_standard_descriptors() -> io::Result<()> {
    let null = Path::new("/dev/null");
    if !null.metadata()?.file_type().is_char_device() {
        return Err(io::Error::other("/dev/null is no device"));
    }
    let null = OpenOptions::new().read(true).write(true).open(null)?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    if loses_standard_error() {
        dup2_stderr(&null)?;
    }
    Ok(())
}
