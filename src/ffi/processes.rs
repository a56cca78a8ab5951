//! System calls for engine processes that no safe library offers: descriptors over a socket, fork, signal actions.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, setsid};

/// Descriptors that one message may carry.
pub(crate) const MAX_DESCRIPTORS: usize = 2;

/// Sends one message, and these descriptors with it, at most [`MAX_DESCRIPTORS`].
///
/// # Errors
/// The system's error: EPIPE or ECONNRESET when the other end is closed.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> nix::Result<()> {
    let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let rights = if raw.is_empty() { &[][..] } else { &rights };
    let parts = [IoSlice::new(message)];
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            done => return done.map(drop),
        }
    }
}

/// Receives one message into `buffer`. Returns its length, 0 when the other end is closed, and the descriptors that came
/// with it.
///
/// # Errors
/// The system's error: ECONNRESET when the other end is closed.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; MAX_DESCRIPTORS]);
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EINTR) => continue,
            done => done?,
        };
        let mut descriptors = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                for raw in received {
                    // SAFETY: the kernel has just opened this descriptor in this process, and nothing else knows its
                    // number.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(raw) });
                }
            }
        }
        return Ok((message.bytes, descriptors));
    }
}

/// Forks. The new process runs `child` and exits with the status that `child` returns. Returns the new process's pid.
///
/// # Errors
/// The system's error: EAGAIN or ENOMEM when it cannot make another process.
pub(crate) fn fork_into(child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: only the zygote calls this, and it has a single thread. So no lock can be held by a thread that does not
    // exist in the child, which may do anything that the zygote may do.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => std::process::exit(child()),
    }
}

/// The process in which [`fork_orphan`] or [`fork_detached`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    /// The one that called it.
    Original,
    /// The new one.
    Copy,
}

/// Forks a process that is no child of this one, but of the next ancestor that has asked for orphans
/// (PR_SET_CHILD_SUBREAPER), or of process 1. Returns in both processes.
///
/// # Errors
/// The system's error: EAGAIN or ENOMEM when it cannot make another process.
pub(crate) fn fork_orphan() -> nix::Result<Twin> {
    fork_twice(|| Ok(()))
}

/// The same, with the new process in a session of its own that it does not lead: no terminal can become that of the
/// session.
///
/// To be called before the program starts its first thread.
///
/// # Errors
/// The system's error: EAGAIN or ENOMEM when it cannot make another process.
pub(crate) fn fork_detached() -> nix::Result<Twin> {
    fork_twice(|| setsid().map(drop))
}

/// Ends the process at once: nothing that the program or a library has registered for its end runs.
pub(crate) fn end_at_once(status: i32) -> ! {
    // SAFETY: _exit(2) runs no code of this process.
    unsafe { nix::libc::_exit(status) }
}

/// Forks, and forks again in the new process, which runs `between` before that and ends at once after it.
fn fork_twice(between: impl FnOnce() -> nix::Result<()>) -> nix::Result<Twin> {
    // SAFETY: the zygote calls this, which has a single thread, and the program before its first one: as in `fork_into`.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => loop {
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, 0)) => return Ok(Twin::Original),
                Ok(WaitStatus::Exited(_, errno)) => return Err(Errno::from_raw(errno)),
                Err(Errno::EINTR) => {}
                Ok(_) => return Err(Errno::ECHILD),
                Err(errno) => return Err(errno),
            }
        },
        // The process in between ends at once, and its child is an orphan.
        // SAFETY: as in `fork_into`; the process still has a single thread.
        ForkResult::Child => match between().and_then(|()| unsafe { fork() }) {
            Ok(ForkResult::Child) => Ok(Twin::Copy),
            Ok(ForkResult::Parent { .. }) => end_at_once(0),
            Err(errno) => end_at_once(errno as i32),
        },
    }
}

/// Makes a write beyond the limit of a file's size (`ulimit -f`) an error, as it is on a full disk, instead of the end of
/// the process. Programs that this one executes inherit that.
pub(crate) fn survive_file_size_limit() {
    // SAFETY: SIG_IGN runs no code of this process. signal(2) has no error for a signal that exists and can be caught.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// Sets the signal actions of the zygote, which its engines inherit, and lets all signals come.
///
/// Signals that a terminal or a service manager sends to all processes of the service are ignored, as the front alone
/// decides when engines end. Signals of a fault end the process: Rust's own handlers, which report stack overflows,
/// would let a sent SIGSEGV pass.
pub(crate) fn set_signals() {
    use Signal::{SIGBUS, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGTERM, SIGUSR1, SIGUSR2};
    let set = |signals: &[Signal], action| {
        for &number in signals {
            // SAFETY: SIG_IGN and SIG_DFL run no code of this process.
            // signal(2) has no error for signals that exist and can be caught.
            let _ = unsafe { signal(number, action) };
        }
    };
    let ignored = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
    set(&ignored, SigHandler::SigIgn);
    set(&[SIGSEGV, SIGBUS], SigHandler::SigDfl);
    // The front may have started the zygote while it held signals back.
    let _ = SigSet::empty().thread_set_mask();
}
