//! Descriptors that this process was started with.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;

/// Takes over a descriptor that the process's predecessor left to it, by its number.
///
/// To be called once for each number, and before this process opens anything: a descriptor of this number is the
/// inherited one only then.
///
/// # Errors
/// When the process has no descriptor of this number.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed for this one call of `fcntl`, which fails if there is no such descriptor, and closes nothing.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: `fcntl` has just found it open. Nothing else owns it: this process has inherited it, and the caller
    // passes each number once, before anything else is opened.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The flags with which the file under this number was opened.
///
/// # Errors
/// When the process has no descriptor of this number.
pub fn flags_of(number: RawFd) -> io::Result<OFlag> {
    // SAFETY: borrowed for this one call of `fcntl`, which fails if there is no such descriptor, and closes nothing.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(OFlag::from_bits_truncate(fcntl(borrowed, FcntlArg::F_GETFL)?))
}

/// Puts another open file under a number that something in this process owns, and goes on to own: a library that keeps a
/// file open writes to the other one from then on. The call is atomic: no write finds the number closed.
///
/// # Errors
/// The system's error; the number stays what it was.
pub fn put_under(number: RawFd, file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call reads and writes no memory. The number stays open, and its owner closes it as before.
    let done = unsafe { libc::dup3(file.as_raw_fd(), number, libc::O_CLOEXEC) };
    if done >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Marks all descriptors except the standard ones to be closed by the next `exec`. Libraries open some without the
/// mark: libmodsecurity keeps a socket with which it looked for the machine's address.
///
/// # Errors
/// The system's error, on a kernel before Linux 5.11 for instance.
pub fn close_all_on_exec() -> io::Result<()> {
    // SAFETY: with CLOEXEC the call only marks descriptors; it closes none that something owns.
    let marked = unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
    if marked == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
