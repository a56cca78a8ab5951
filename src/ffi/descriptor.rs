//! Descriptors that this process was started with.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Takes over a descriptor that the process's predecessor left to it, by its number.
///
/// To be called once for each number, before anything else could have opened or taken it.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: only borrowed to ask the kernel whether there is such a descriptor; if not, the call fails.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, and by the promise of the caller nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
