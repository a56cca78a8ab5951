//! Faults in threads that run engine code: the signal and its address are kept, and the thread never runs again.
//!
//! The handler runs on a second stack of the thread, since the fault may be an overflow of the first. It stores into
//! atomics, sets an alarm, and parks the thread. It neither jumps out nor unwinds: after a fault in C or C++ the state
//! of the thread is unknown, and it may hold locks.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use nix::libc::{self, c_int, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::time::ClockId;

/// The signals that a crash of an engine raises.
const FAULTS: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT];

/// Bytes of the handler's stack.
const STACK: usize = 64 * 1024;

/// Seconds from the first fault to the end of a process that did not manage to replace itself: the thread may have held
/// malloc's lock, and then every other thread stops at its next allocation.
const LAST_RESORT: u32 = 15;

thread_local! {
    /// The slot of the thread, if it is one that runs engine code. Initialised at compile time and without a
    /// destructor, so that a signal handler may read it.
    static SLOT: Cell<*const FaultSlot> = const { Cell::new(ptr::null()) };
}

/// The place for the fault of one thread. It is never freed, as the signal handler of a parked thread may use it at any
/// time.
#[derive(Debug, Default)]
pub struct FaultSlot {
    /// Whether the thread runs engine code now.
    in_engine: AtomicBool,
    signal: AtomicI32,
    address: AtomicUsize,
    /// Whether there was a fault; stored last, so that signal and address are complete.
    faulted: AtomicBool,
}

/// A fault of an engine in a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The signal that the fault raised.
    pub signal: Signal,
    /// The address that the kernel gives with it; for SIGABRT it means nothing.
    pub address: usize,
}

impl FaultSlot {
    /// The fault that parked the thread, if there was one.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        if !self.faulted.load(Ordering::Acquire) {
            return None;
        }
        let signal = Signal::try_from(self.signal.load(Ordering::Relaxed)).unwrap_or(Signal::SIGSEGV);
        Some(Fault { signal, address: self.address.load(Ordering::Relaxed) })
    }

    /// Runs engine code on the thread of this slot. A signal of a fault meanwhile parks the thread; at any other time
    /// it ends the process. A panic in `code` leaves the slot as one that runs engine code, so its thread must end.
    pub fn guard<T>(&self, code: impl FnOnce() -> T) -> T {
        self.in_engine.store(true, Ordering::Relaxed);
        let done = code();
        self.in_engine.store(false, Ordering::Relaxed);
        done
    }
}

/// Installs the signal handler for the whole process. A fault outside [`FaultSlot::guard`] ends the process, as without
/// it.
///
/// # Errors
/// The system's error for a handler that it refuses.
pub fn install() -> io::Result<()> {
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(handle), flags, SigSet::empty());
    for signal in FAULTS {
        // SAFETY: `handle` only reads a thread-local that needs no initialisation, stores into atomics, and calls
        // functions that POSIX lists as async-signal-safe.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Makes the current thread one that may run engine code: gives it a second stack for the handler and a [`FaultSlot`].
/// Both are never freed.
///
/// # Errors
/// The system's error for a stack that it refuses.
pub fn take_slot() -> io::Result<&'static FaultSlot> {
    let stack = Box::leak(vec![0_u8; STACK].into_boxed_slice());
    let stack =
        libc::stack_t { ss_sp: stack.as_mut_ptr().cast::<c_void>(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the stack is leaked above, so it is live for ever, of the size that is given, and used by nothing else.
    if unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let slot: &'static FaultSlot = Box::leak(Box::default());
    SLOT.set(slot);
    Ok(slot)
}

/// The clock of the current thread's CPU time, readable from other threads while this one lives.
///
/// # Errors
/// When the system has no such clock.
pub fn thread_clock() -> io::Result<ClockId> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `pthread_self` is the calling thread, which is alive, and `clock` is valid for the write.
    match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) } {
        0 => Ok(ClockId::from_raw(clock)),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Cancels the alarm that a fault has set before this process replaced itself by exec, which alarms survive.
pub fn cancel_last_resort() {
    // SAFETY: `alarm` has no preconditions.
    unsafe { libc::alarm(0) };
}

/// The signal handler: parks a thread that runs engine code, and lets the signal end the process otherwise.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let slot = SLOT.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: the pointer is NULL or that of a slot, and slots are never freed.
    match unsafe { slot.as_ref() } {
        Some(slot) if slot.in_engine.load(Ordering::Relaxed) => {
            // SAFETY: with SA_SIGINFO the kernel passes a valid pointer. `si_addr` is set for all these signals except
            // SIGABRT, where the bytes of the union are still initialised and only mean something else.
            let address = unsafe { (*info).si_addr() } as usize;
            slot.address.store(address, Ordering::Relaxed);
            slot.signal.store(signal, Ordering::Relaxed);
            slot.faulted.store(true, Ordering::Release);
            // SAFETY: `alarm` and `pause` are async-signal-safe (POSIX) and have no preconditions.
            unsafe {
                libc::alarm(LAST_RESORT);
                loop {
                    libc::pause();
                }
            }
        }
        // SAFETY: `signal` is async-signal-safe (POSIX), and SIG_DFL runs no code. The faulting instruction runs again
        // when the handler returns, and abort() raises its signal again: this time it ends the process.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
        },
    }
}
