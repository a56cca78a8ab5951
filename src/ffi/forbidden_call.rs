//! Of a filter of system calls (seccomp(2)): how the process that breaks it says which call it was, and ends.

use std::io;
use std::mem::offset_of;
use std::ptr;

use nix::libc::{self, c_int, c_long, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// What a process that breaks its filter writes on its standard error, before the number of the call and a line feed.
pub(crate) const SAID: &str = "forbidden system call ";

/// The part of siginfo_t that SIGSYS has (sigaction(2)), as the kernel lays it out on 64-bit machines.
#[repr(C)]
struct CallInfo {
    number: c_int,
    errno: c_int,
    code: c_int,
    call_address: *mut c_void,
    call: c_int,
    arch: u32,
}

const _: () = assert!(offset_of!(CallInfo, call) == 24 && size_of::<CallInfo>() <= size_of::<siginfo_t>());

/// From now on a call that the filter traps (SECCOMP_RET_TRAP) is told on standard error and ends the process: SIGSYS.
///
/// # Errors
/// Those of sigaction(2).
pub(crate) fn tell() -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigAction(handle), SaFlags::SA_SIGINFO, SigSet::all());
    // SAFETY: the handler only does what a signal handler may do, see there.
    unsafe { sigaction(Signal::SIGSYS, &action) }?;
    Ok(())
}

extern "C" fn handle(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid pointer, and the filter's signal has this form. One that another
    // process sends has other values there, which are as readable.
    let call = unsafe { (*info.cast::<CallInfo>()).call };
    let mut line = [0; SAID.len() + 11];
    let length = spell(&mut line, call.unsigned_abs());
    // SAFETY: the buffer has that many bytes. write(2), syscall(2) and _exit(2) are async-signal-safe. SIGSYS is blocked
    // here, so that the kernel ends the process by it at a call that is never allowed.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), length);
        libc::syscall(libc::SYS_ptrace, -1, 0, 0, 0);
        libc::_exit(1);
    }
}

/// Writes what is said of this call; returns the length. No allocation, no formatting: a signal handler runs it.
fn spell(line: &mut [u8], call: u32) -> usize {
    let mut digits = [0; 10];
    let (mut rest, mut count) = (call, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        (rest, count) = (rest / 10, count + 1);
        if rest == 0 {
            break;
        }
    }
    let digits = digits.iter().skip(10 - count);
    let text = SAID.as_bytes().iter().chain(digits).chain(b"\n");
    line.iter_mut().zip(text).map(|(to, from)| *to = *from).count()
}

/// Whether the kernel filters system calls so.
pub(crate) fn can_be_told() -> bool {
    const GET_ACTION_AVAIL: c_long = 2;
    let action: u32 = libc::SECCOMP_RET_TRAP;
    // SAFETY: only asks; the pointer is valid for the call.
    unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// The version of Landlock that the kernel has; 0: it has none, or it is switched off.
pub(crate) fn landlock_version() -> i32 {
    const VERSION: c_long = 1;
    // SAFETY: with this flag it only answers, and takes no pointer.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<c_void>(), 0_usize, VERSION) };
    i32::try_from(version).unwrap_or_default().max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spelled_without_the_library() {
        for (call, expected) in [(0, "0"), (41, "41"), (u32::MAX, "4294967295")] {
            let mut line = [0; SAID.len() + 11];
            let length = spell(&mut line, call);
            assert_eq!(line[..length], *format!("{SAID}{expected}\n").as_bytes());
        }
    }
}
