//! What engine processes need of the system that no safe library offers: descriptors over a socket, fork, signals.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::unistd::{ForkResult, Pid, fork};

/// Descriptors that one message may carry.
pub(crate) const MAX_DESCRIPTORS: usize = 2;

/// Sends one message, with these descriptors: at most [`MAX_DESCRIPTORS`].
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

/// Receives one message into `buffer`, with the descriptors that came along. Length 0 is the end.
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
                    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(raw) });
                }
            }
        }
        return Ok((message.bytes, descriptors));
    }
}

/// Forks. `child` runs in the new process, which ends with the status that it returns.
pub(crate) fn fork_into(child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: only the zygote calls this, and it has a single thread: no lock is held by a thread that the child lacks,
    // so the child may do whatever the zygote could have done.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => std::process::exit(child()),
    }
}

/// Makes signals mean to engines what they should.
///
/// Those that a terminal or a service manager sends to all processes of the service are ignored: the front alone decides
/// when engines end. Those of a fault end the process: Rust's own handlers, there for a message on stack overflow, would
/// bear one.
pub(crate) fn set_signals() {
    let set = |signals: &[Signal], action| {
        for &number in signals {
            // SAFETY: neither action runs any code.
            // These signals exist, so there is no error.
            let _ = unsafe { signal(number, action) };
        }
    };
    set(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT], SigHandler::SigIgn);
    set(&[Signal::SIGSEGV, Signal::SIGBUS], SigHandler::SigDfl);
}
