//! Descriptors that this process was started with.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;

/// Takes over a descriptor that the process's predecessor left to it, by its number.
///
/// To be called once for each number, before anything else could have opened or taken it.
///
/// # Errors
/// When the process has no descriptor of this number.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: only borrowed to ask the kernel whether there is such a descriptor; if not, the call fails.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, and by the promise of the caller nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Has all descriptors but the standard ones closed by the next `exec`, also those that libraries opened without asking
/// for it (libmodsecurity keeps a socket from when it looked for the machine's address).
///
/// # Errors
/// The system's error, on a kernel before Linux 5.11 for instance.
pub fn close_all_on_exec() -> io::Result<()> {
    // SAFETY: only marks descriptors; nothing is closed while this program runs.
    let marked = unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
    if marked == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
