//! Faults in threads that run engine code: what the kernel says of them is kept, and the thread never runs again.
//!
//! The handler runs on a stack of the thread's own, since the usual one may be what overflowed. It does nothing but
//! store into atomics, ask for an alarm, and park: after a fault in C or C++ nothing of that thread can be trusted,
//! least of all the locks that it may hold, so it neither jumps out nor unwinds.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use nix::libc::{self, c_int, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::time::ClockId;

/// What a crash of an engine raises.
const FAULTS: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT];

/// Bytes of the handler's stack.
const STACK: usize = 64 * 1024;

/// Seconds from the first fault to the end of a process that did not manage to replace itself: the thread may have held
/// malloc's lock, and then every other thread stops at its next allocation.
const LAST_RESORT: u32 = 15;

thread_local! {
    /// The slot of the thread, if it is one that runs engine code. Initialised at compile time and without a destructor,
    /// so that a signal handler may read it.
    static SLOT: Cell<*const FaultSlot> = const { Cell::new(ptr::null()) };
}

/// Where the fault of one thread is kept. It is never freed: a parked thread looks at it for ever.
#[derive(Debug, Default)]
pub struct FaultSlot {
    in_engine: AtomicBool,
    signal: AtomicI32,
    address: AtomicUsize,
    faulted: AtomicBool,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The signal.
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

    /// Runs engine code on the thread of this slot: what it does to itself from here on is a fault of the engine's.
    pub fn guard<T>(&self, code: impl FnOnce() -> T) -> T {
        self.in_engine.store(true, Ordering::Relaxed);
        let done = code();
        self.in_engine.store(false, Ordering::Relaxed);
        done
    }
}

/// Installs the handler for the whole process. A fault outside [`FaultSlot::guard`] ends the process as ever.
pub fn install() -> io::Result<()> {
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(handle), flags, SigSet::empty());
    for signal in FAULTS {
        // SAFETY: the handler only does what a signal handler may do, see there.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Makes the current thread one that may run engine code, with a stack for the handler. FaultSlot and stack stay for ever.
pub fn take_slot() -> io::Result<&'static FaultSlot> {
    let stack = Box::leak(vec![0_u8; STACK].into_boxed_slice());
    let stack =
        libc::stack_t { ss_sp: stack.as_mut_ptr().cast::<c_void>(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the memory is ours for ever, large enough, and used for nothing else.
    if unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let slot: &'static FaultSlot = Box::leak(Box::default());
    SLOT.set(slot);
    Ok(slot)
}

/// The clock of the current thread's CPU time, readable from other threads while this one lives.
pub fn thread_clock() -> io::Result<ClockId> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the calling thread is alive, and the pointer is valid for the call.
    match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) } {
        0 => Ok(ClockId::from_raw(clock)),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Cancels the alarm of a fault in an earlier life of this process.
pub fn cancel_last_resort() {
    // SAFETY: no preconditions.
    unsafe { libc::alarm(0) };
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let slot = SLOT.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: NULL, or a slot, which is never freed.
    match unsafe { slot.as_ref() } {
        Some(slot) if slot.in_engine.load(Ordering::Relaxed) => {
            // SAFETY: with SA_SIGINFO the kernel passes a valid pointer; the field is there for all these signals, and
            // reading it where it means nothing (SIGABRT) is harmless.
            let address = unsafe { (*info).si_addr() } as usize;
            slot.address.store(address, Ordering::Relaxed);
            slot.signal.store(signal, Ordering::Relaxed);
            slot.faulted.store(true, Ordering::Release);
            // SAFETY: both are async-signal-safe (POSIX).
            unsafe {
                libc::alarm(LAST_RESORT);
                loop {
                    libc::pause();
                }
            }
        }
        // SAFETY: async-signal-safe. The faulting instruction runs again when the handler returns, and abort() raises
        // its signal again: this time it ends the process.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
        },
    }
}
