//! What the engine processes need of the system that no safe library offers.

#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// Sends one message, with a descriptor if there is one.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> nix::Result<()> {
    let raw = descriptor.map(|descriptor| [descriptor.as_raw_fd()]);
    let rights = raw.as_ref().map(|raw| [ControlMessage::ScmRights(raw)]);
    let rights = rights.as_ref().map_or(&[][..], |rights| &rights[..]);
    let parts = [IoSlice::new(message)];
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            done => return done.map(drop),
        }
    }
}

/// Receives one message into `buffer`, with the descriptor that came along. Length 0 is the end.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EINTR) => continue,
            done => done?,
        };
        let mut descriptor = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                for raw in received {
                    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
                    descriptor = Some(unsafe { OwnedFd::from_raw_fd(raw) });
                }
            }
        }
        return Ok((message.bytes, descriptor));
    }
}

/// Forks. `child` runs in the new process, which ends with the status that it returns.
pub(super) fn fork_into(child: impl FnOnce() -> i32) -> nix::Result<Pid> {
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
pub(super) fn set_signals() {
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

/// Bytes of a page, as far as [`Memory`] is concerned: a multiple of what the kernel calls so.
pub(super) const PAGE: usize = 64 * 1024;

/// A number that one process changes and another waits for, with a cache line to itself.
#[repr(C, align(64))]
pub(super) struct Line(pub(super) AtomicU32);

/// Memory that two processes share: a page with three [`Line`]s, then 64-bit words. Zeros at first; the kernel gives it
/// pages as they are touched.
///
/// The other process may be hostile, and write whatever it likes at any moment. So there are only atomics in it, of which
/// each load gives one value and reads it once, and nobody can change its size, so that it does not vanish under a
/// reader (SIGBUS).
pub(super) struct Memory {
    start: NonNull<u8>,
    words: usize,
}

// SAFETY: the address is that of a mapping of the whole process, and all that is reached through it is atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Makes some, with so many words, and the descriptor by which another process can [map](Self::map) it.
    pub(super) fn create(words: usize) -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create("jobs", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, Self::size(words) as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Self::map(file.as_fd(), words)?, file))
    }

    /// Maps what [`create`](Self::create) has made with as many words.
    pub(super) fn map(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses a place where nothing else is.
        let start = unsafe { mmap(ptr::null_mut(), Self::size(words), access, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, words })
    }

    fn size(words: usize) -> usize {
        PAGE + words * size_of::<u64>()
    }

    /// The numbers.
    pub(super) fn lines(&self) -> &[Line; 3] {
        // SAFETY: they are within the first page, whose start is aligned to more than theirs, and which stays mapped as
        // long as `self` lives. Any bytes are valid for them, and as atomics they may change at any time.
        unsafe { self.start.cast().as_ref() }
    }

    /// The words.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has that many words behind its first page, aligned, and stays as long as `self` lives.
        // Any bytes are valid for them, and as atomics they may change at any time.
        unsafe { slice::from_raw_parts(self.start.add(PAGE).cast().as_ptr(), self.words) }
    }

    /// Gives back the pages of these words; the words become zero. Both ends must be at a page's.
    pub(super) fn give_back(&self, range: Range<usize>) -> io::Result<()> {
        let words = self.words().get(range).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: they are words of the mapping, and a zero is as valid in an atomic as any other number.
        Ok(unsafe { madvise(words.as_ptr().cast_mut().cast(), size_of_val(words), Advice::LinuxRemove) }?)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and all references to it were bound to `self`.
        // There is no error for a mapping that exists.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), Self::size(self.words)) };
    }
}
