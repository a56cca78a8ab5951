//! Signals that wait for the process that this one is about to become: execve(2) keeps what waits for the thread that
//! calls it, and loses what another thread has taken.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc::{self, c_int};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::gettid;

/// The thread for which the signals wait.
static THREAD: AtomicI32 = AtomicI32::new(0);

/// Has every other thread that takes one of these signals from now on pass it on to the calling thread, which must have
/// blocked them: there it waits.
///
/// # Errors
/// When one of them cannot be caught.
pub(crate) fn forward_to_this_thread(signals: &[Signal]) -> nix::Result<()> {
    THREAD.store(gettid().as_raw(), Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(forward), SaFlags::SA_RESTART, SigSet::empty());
    for &signal in signals {
        // SAFETY: the handler makes async-signal-safe calls only, and leaves errno as it was.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

extern "C" fn forward(signal: c_int) {
    // SAFETY: the location of errno is that of the thread that runs this, and valid as long as the thread is. getpid(2)
    // and tgkill(2) are system calls without any state of this process.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::syscall(libc::SYS_tgkill, libc::getpid(), THREAD.load(Ordering::Relaxed), signal);
        *errno = before;
    }
}
