//! Memory that two processes share: a worker's and its engine's.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// Bytes of a page of [`Memory`]: a multiple of the kernel's page size on every supported machine.
pub(crate) const PAGE: usize = 64 * 1024;

/// A number that one process changes and another waits for. It has a cache line to itself, so that waiting for one does
/// not slow down writers of the others.
#[repr(C, align(64))]
pub(crate) struct Counter(pub(crate) AtomicU32);

/// Memory that two processes share: a page with four [`Counter`]s, then 64-bit words. All are zero at first; the
/// kernel allocates pages as they are touched.
///
/// The other process may be hostile and write anything at any moment. So the memory holds atomics only, and a load
/// reads a value once. Seals keep its size, so that it cannot be cut short under a reader (SIGBUS).
pub(crate) struct Memory {
    start: NonNull<u8>,
    words: usize,
}

// SAFETY: the mapping belongs to the whole process and not to a thread, and only atomics are reached through the
// address.
unsafe impl Send for Memory {}
// SAFETY: shared references lead to atomics only, which any thread may use at any time.
unsafe impl Sync for Memory {}

impl Memory {
    /// Makes memory with this number of words. Returns it with the descriptor by which another process can
    /// [map](Self::map) it.
    ///
    /// # Errors
    /// When the system has no memory file to give, or cannot map it.
    pub(crate) fn create(words: usize) -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create("jobs", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, Self::size(words) as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Self::map(file.as_fd(), words)?, file))
    }

    /// Maps memory that [`create`](Self::create) has made with the same number of words.
    ///
    /// # Errors
    /// When the system cannot map the file.
    pub(crate) fn map(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: with a NULL hint and without MAP_FIXED the kernel chooses addresses where nothing is mapped yet.
        let start = unsafe { mmap(ptr::null_mut(), Self::size(words), access, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, words })
    }

    fn size(words: usize) -> usize {
        PAGE + words * size_of::<u64>()
    }

    /// The three counters.
    pub(crate) fn counters(&self) -> &[Counter; 4] {
        // SAFETY: the counters are at the start of the mapping, which is aligned to a page and so to a cache line, is
        // longer than they are, and stays mapped while `self` lives. Any bytes are valid for atomics, and they may
        // change at any time.
        unsafe { self.start.cast().as_ref() }
    }

    /// The words behind the counters.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has `self.words` words behind its first page, aligned to a page, and stays while `self`
        // lives. Any bytes are valid for atomics, and they may change at any time.
        unsafe { slice::from_raw_parts(self.start.add(PAGE).cast().as_ptr(), self.words) }
    }

    /// Gives the pages of these words back to the system; the words become zero. Both ends of the range must be at ends
    /// of pages.
    ///
    /// # Errors
    /// When the range is not within the words, or the system refuses it: its ends are not at those of pages.
    pub(crate) fn give_back(&self, range: Range<usize>) -> io::Result<()> {
        let words = self.words().get(range).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the range lies within the mapping, and the zeros that it becomes are as valid in an atomic as any
        // number.
        Ok(unsafe { madvise(words.as_ptr().cast_mut().cast(), size_of_val(words), Advice::LinuxRemove) }?)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `map` has made this mapping with this size, and references to it borrow `self`, which is going away.
        // munmap(2) has no error for a whole mapping.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), Self::size(self.words)) };
    }
}
