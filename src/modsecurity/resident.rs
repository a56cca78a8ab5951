//! How much the memory of this process has grown, as the system counts it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The resident memory of this process that no file backs, and what it was at first.
pub(super) struct Resident {
    /// `/proc/self/statm` (`proc_pid_statm(5)`), opened while the process may still open files. `None` where there is no
    /// /proc: then nothing grows.
    statm: Option<File>,
    first: usize,
}

impl Resident {
    /// Measures from now on.
    pub(super) fn new() -> Self {
        let mut resident = Self { statm: File::open("/proc/self/statm").ok(), first: 0 };
        resident.first = resident.now().unwrap_or_default();
        resident
    }

    /// Bytes that have come since.
    pub(super) fn grown(&self) -> usize {
        self.now().unwrap_or_default().saturating_sub(self.first)
    }

    fn now(&self) -> Option<usize> {
        let mut buffer = [0; 128];
        let length = self.statm.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
        // In pages: all of the address space, its resident part, and what of that part files back or others share.
        let mut pages = text.split(' ').skip(1).map(|pages| pages.parse::<usize>().ok());
        let (resident, shared) = (pages.next()??, pages.next()??);
        Some(resident.saturating_sub(shared) * rustix::param::page_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_is_counted() {
        let resident = Resident::new();
        let used = vec![1_u8; 64 * 1024 * 1024];
        let grown = resident.grown();
        assert!(grown >= 48 * 1024 * 1024, "{grown} of {}", std::hint::black_box(&used).len());
    }
}
