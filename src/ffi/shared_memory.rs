//! Memory that two processes share, for a worker and its engine.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// Bytes of a page, as far as [`Memory`] is concerned: a multiple of what the kernel calls so.
pub(crate) const PAGE: usize = 64 * 1024;

/// A number that one process changes and another waits for, with a cache line to itself.
#[repr(C, align(64))]
pub(crate) struct Counter(pub(crate) AtomicU32);

/// Memory that two processes share: a page with three [`Counter`]s, then 64-bit words. Zeros at first; the kernel gives it
/// pages as they are touched.
///
/// The other process may be hostile, and write whatever it likes at any moment. So there are only atomics in it, of which
/// each load gives one value and reads it once, and nobody can change its size, so that it does not vanish under a
/// reader (SIGBUS).
pub(crate) struct Memory {
    start: NonNull<u8>,
    words: usize,
}

// SAFETY: the address is that of a mapping of the whole process, and all that is reached through it is atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Makes some, with so many words, and the descriptor by which another process can [map](Self::map) it.
    pub(crate) fn create(words: usize) -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create("jobs", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, Self::size(words) as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Self::map(file.as_fd(), words)?, file))
    }

    /// Maps what [`create`](Self::create) has made with as many words.
    pub(crate) fn map(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
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
    pub(crate) fn counters(&self) -> &[Counter; 3] {
        // SAFETY: they are within the first page, whose start is aligned to more than theirs, and which stays mapped as
        // long as `self` lives. Any bytes are valid for them, and as atomics they may change at any time.
        unsafe { self.start.cast().as_ref() }
    }

    /// The words.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has that many words behind its first page, aligned, and stays as long as `self` lives.
        // Any bytes are valid for them, and as atomics they may change at any time.
        unsafe { slice::from_raw_parts(self.start.add(PAGE).cast().as_ptr(), self.words) }
    }

    /// Gives back the pages of these words; the words become zero. Both ends must be at a page's.
    pub(crate) fn give_back(&self, range: Range<usize>) -> io::Result<()> {
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
