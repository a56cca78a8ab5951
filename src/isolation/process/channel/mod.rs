//! Jobs and their verdicts, through memory that a worker shares with its engine.
//!
//! The worker writes one job, or a batch of them, and then the number of the batch; the engine writes each verdict and
//! then the number of verdicts so far; who waits for a number sleeps on it (futex(2)). That takes less than half of what a
//! socket costs, where the kernel copies everything twice.
//!
//! Waking the other side costs more than a cheap job: the engine does it at the end of a batch only. Until then the worker
//! looks from time to time, and takes back what the engine has not begun if that does not get on. For that the engine
//! claims each job before it begins with it, and before it tells of the one before.
//!
//! The engine may be the exploited one. Of what it wrote the worker loads each word once, into memory of its own, and
//! believes no length and no number. By its numbers the engine can only say that there are verdicts on the batch at hand,
//! and which of it are not begun; that it is gone the worker hears from the zygote host ([`Alarm`]), and whatever wakes it
//! without cause makes it look once more.

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use bytes::Bytes;
use rustix::thread::futex;

use super::wire::{self, LENGTH, MAX_JOB, MAX_VERDICT};
use crate::ffi::shared_memory::{Counter, Memory, PAGE};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Jobs in a batch, at most.
pub(super) const AT_A_TIME: usize = 32;

/// The words in which jobs are: how many, and then each after the other.
const JOBS: Range<usize> = 0..room(MAX_JOB);

/// The words for each verdict of a batch.
const VERDICT: usize = room(MAX_VERDICT);

/// All words.
const WORDS: usize = JOBS.end + AT_A_TIME * VERDICT;

/// Bytes of jobs that are kept when a batch is done with, and that a batch may take: nobody keeps megabytes for one long
/// request.
pub(super) const KEPT: usize = 4 * PAGE;

/// Bytes that are kept of each verdict.
const KEPT_VERDICT: usize = PAGE;

/// Words for frames of so many bytes, in whole pages.
const fn room(bytes: usize) -> usize {
    (LENGTH + bytes).next_multiple_of(PAGE) / WORD
}

/// The bits of a number, in a [`Counter`].
const NUMBER: u32 = CLOSED - 1;

/// The bit that says that nothing comes any more.
const CLOSED: u32 = 1 << 30;

/// The bit that says that somebody sleeps until the number changes.
const WAITING: u32 = 1 << 31;

/// The bit in the number of jobs begun that says that the others are taken back.
const TAKEN_BACK: u32 = 1 << 31;

/// The worker's end. The engine ends when it is dropped.
pub(super) struct WorkerEnd {
    memory: Arc<Memory>,
    /// The number of the batch.
    batch: u32,
    /// Jobs in it, without those that were taken back.
    jobs: usize,
    /// Verdicts on it that were read.
    read: usize,
    /// Verdicts that were read so far, on all jobs.
    verdicts: u32,
    /// The words that its jobs take.
    used: usize,
}

/// What a worker finds when it looks for a verdict.
pub(super) enum Received {
    /// The verdict on the next job of the batch.
    Verdict(Bytes),
    /// What cannot be one.
    Garbage,
    /// That the [`Alarm`] went off.
    Alarm,
    /// Nothing yet.
    Nothing,
}

impl WorkerEnd {
    /// A channel; the descriptor is for the engine.
    pub(super) fn create() -> io::Result<(Self, OwnedFd)> {
        let (memory, file) = Memory::create(WORDS)?;
        let memory = Arc::new(memory);
        Ok((Self { memory, batch: 0, jobs: 0, read: 0, verdicts: 0, used: 0 }, file))
    }

    /// What wakes this end when the engine is gone.
    pub(super) fn alarm(&self) -> Alarm {
        Alarm(Arc::clone(&self.memory))
    }

    /// Begins a batch. All jobs of the one before must have their verdicts, or have been taken back.
    pub(super) fn begin(&mut self) {
        // The first word is for their number.
        (self.jobs, self.read, self.used) = (0, 0, 1);
    }

    /// Writes a job for the batch; `false` when the batch has no room for one more. An error: it is longer than any may be.
    pub(super) fn add(&mut self, job: &[u8]) -> io::Result<bool> {
        let end = match self.jobs {
            0 => JOBS.end,
            AT_A_TIME.. => return Ok(false),
            _ => KEPT / WORD,
        };
        let words = self.memory.words().get(self.used..end).unwrap_or_default();
        match write(words, job) {
            Ok(used) => self.used += used,
            Err(error) if self.jobs == 0 => return Err(error),
            Err(_) => return Ok(false),
        }
        self.jobs += 1;
        Ok(true)
    }

    /// Hands over the batch.
    pub(super) fn hand_over(&mut self) {
        if let Some(count) = self.memory.words().get(JOBS.start) {
            count.store(self.jobs as u64, Relaxed);
        }
        self.batch = self.batch.wrapping_add(1) & NUMBER;
        let [batches, _, begun] = self.memory.counters();
        begun.0.store(0, Relaxed);
        batches.post(self.batch);
    }

    /// Looks for the next verdict, and sleeps once when there is none: for so long, or until something happens.
    pub(super) fn wait(&mut self, patience: Duration) -> Received {
        let [_, verdicts, _] = self.memory.counters();
        let known = self.verdicts;
        match verdicts.wait(|seen| seen & NUMBER != known || seen & CLOSED != 0, Some(patience)) {
            seen if seen & NUMBER != known => self.read((seen & NUMBER).wrapping_sub(known) & NUMBER),
            seen if seen & CLOSED != 0 => Received::Alarm,
            _ => Received::Nothing,
        }
    }

    /// Reads the first of so many verdicts.
    fn read(&mut self, ready: u32) -> Received {
        if ready as usize > self.jobs - self.read {
            return Received::Garbage;
        }
        let start = JOBS.end + self.read * VERDICT;
        let verdict = read(self.memory.words().get(start..start + VERDICT).unwrap_or_default(), MAX_VERDICT);
        self.read += 1;
        self.verdicts = self.verdicts.wrapping_add(1) & NUMBER;
        let Some((verdict, words)) = verdict else { return Received::Garbage };
        self.tidy(start..start + VERDICT, words, KEPT_VERDICT);
        if self.read == self.jobs {
            self.tidy(JOBS, self.used, KEPT);
        }
        Received::Verdict(verdict)
    }

    /// Gives back the pages of what was long.
    fn tidy(&self, range: Range<usize>, used: usize, kept: usize) {
        if used > kept / WORD {
            // Then they are kept after all.
            let _ = self.memory.give_back(range.start + kept / WORD..range.end);
        }
    }

    /// Takes back the jobs that the engine has not begun; says how many of the batch it has. One that has not begun at all
    /// keeps its batch: it has not had its turn of the CPU.
    pub(super) fn take_back(&mut self) -> usize {
        let [_, _, begun] = self.memory.counters();
        if begun.0.load(Relaxed) != 0 {
            let begun = (begun.0.fetch_or(TAKEN_BACK, AcqRel) & NUMBER) as usize;
            // At least the one whose verdict is next, whatever it says.
            self.jobs = begun.clamp((self.read + 1).min(self.jobs), self.jobs);
        }
        self.jobs
    }
}

impl Drop for WorkerEnd {
    fn drop(&mut self) {
        let [batches, ..] = self.memory.counters();
        batches.close();
    }
}

/// Wakes a worker when it is dropped: its engine is gone.
pub(super) struct Alarm(Arc<Memory>);

impl Drop for Alarm {
    fn drop(&mut self) {
        let [_, verdicts, _] = self.0.counters();
        verdicts.close();
    }
}

/// What an engine finds when it looks for a job.
pub(super) enum NextJob {
    /// The job.
    Job(Bytes),
    /// Nothing yet.
    Nothing,
    /// That the worker has let it go.
    End,
}

/// The engine's end.
pub(super) struct EngineEnd {
    memory: Memory,
    /// The number of the batch.
    batch: u32,
    /// Jobs in it that are not claimed.
    left: usize,
    /// Whether the next one is claimed.
    claimed: bool,
    /// Where the next one is.
    next: usize,
    /// Verdicts on it.
    answered: usize,
    /// Verdicts so far, on all jobs.
    verdicts: u32,
}

impl EngineEnd {
    /// The end that belongs to this descriptor of a worker's.
    pub(super) fn open(file: BorrowedFd<'_>) -> io::Result<Self> {
        let memory = Memory::map(file, WORDS)?;
        Ok(Self { memory, batch: 0, left: 0, claimed: false, next: 0, answered: 0, verdicts: 0 })
    }

    /// The next job; if there is none, waits once for so long, or without end.
    pub(super) fn next_job(&mut self, patience: Option<Duration>) -> io::Result<NextJob> {
        if !self.claimed {
            let [batches, ..] = self.memory.counters();
            let known = self.batch;
            match batches.wait(|seen| seen & NUMBER != known || seen & CLOSED != 0, patience) {
                seen if seen & CLOSED != 0 => return Ok(NextJob::End),
                seen if seen & NUMBER != known => self.batch = seen & NUMBER,
                _ => return Ok(NextJob::Nothing),
            }
            let count = self.memory.words().get(JOBS.start).map_or(0, |count| count.load(Relaxed));
            (self.left, self.next, self.answered) = (count as usize, JOBS.start + 1, 0);
            self.claimed = self.claim();
        }
        if !std::mem::take(&mut self.claimed) {
            return Ok(NextJob::Nothing);
        }
        let words = self.memory.words().get(self.next..JOBS.end).unwrap_or_default();
        let (job, used) = read(words, MAX_JOB).ok_or_else(too_long)?;
        self.next += used;
        Ok(NextJob::Job(job))
    }

    /// Claims the next job, unless there is none or the worker has taken it back.
    fn claim(&mut self) -> bool {
        let [_, _, begun] = self.memory.counters();
        if self.left == 0 || begun.0.fetch_add(1, AcqRel) & TAKEN_BACK != 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// Answers the job.
    pub(super) fn answer(&mut self, verdict: &[u8]) -> io::Result<()> {
        self.claimed = self.claim();
        let start = JOBS.end + self.answered * VERDICT;
        write(self.memory.words().get(start..start + VERDICT).unwrap_or_default(), verdict)?;
        self.answered += 1;
        self.verdicts = self.verdicts.wrapping_add(1) & NUMBER;
        let [_, verdicts, _] = self.memory.counters();
        match self.claimed {
            true => verdicts.post_quietly(self.verdicts),
            false => verdicts.post(self.verdicts),
        }
        Ok(())
    }
}

impl Counter {
    /// Sets the number, and wakes who waits for it.
    fn post(&self, number: u32) {
        // A system call for nothing if nobody does.
        if self.0.swap(number, AcqRel) & WAITING != 0 {
            self.wake();
        }
    }

    /// Sets the number, and lets who waits for it sleep on.
    fn post_quietly(&self, number: u32) {
        let mut seen = self.0.load(Relaxed);
        while let Err(other) = self.0.compare_exchange_weak(seen, number | (seen & !NUMBER), AcqRel, Relaxed)
        {
            seen = other;
        }
    }

    /// Says that nothing comes any more.
    fn close(&self) {
        self.0.fetch_or(CLOSED, AcqRel);
        self.wake();
    }

    fn wake(&self) {
        // There is no error for an address that exists.
        let _ = futex::wake(&self.0, futex::Flags::empty(), 1);
    }

    /// What is there once that has `happened`; or after one sleep, if it has not: that ends with the patience, when the
    /// line changes, or without cause.
    fn wait(&self, happened: impl Fn(u32) -> bool, patience: Option<Duration>) -> u32 {
        let seen = self.0.load(Acquire);
        if happened(seen) {
            return seen;
        }
        // Whoever changes the line from here on wakes us, or finds us not asleep yet: then the kernel sees the change.
        let seen = self.0.fetch_or(WAITING, AcqRel) | WAITING;
        if happened(seen) {
            return seen;
        }
        let patience = patience.and_then(|patience| patience.try_into().ok());
        // Whatever ends the sleep, what counts is what is there then.
        let _ = futex::wait(&self.0, futex::Flags::empty(), seen, patience.as_ref());
        self.0.load(Acquire)
    }
}

/// Writes a frame; says how many words it takes.
fn write(area: &[AtomicU64], frame: &[u8]) -> io::Result<usize> {
    let (chunks, rest) = frame.as_chunks::<WORD>();
    let mut last = [0; WORD];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let used = chunks.len() + 1;
    let Some(words) = area.get(..used) else { return Err(too_long()) };
    for (word, chunk) in words.iter().zip(chunks) {
        word.store(u64::from_ne_bytes(*chunk), Relaxed);
    }
    if let Some(word) = words.last() {
        word.store(u64::from_ne_bytes(last), Relaxed);
    }
    Ok(used)
}

/// Copies a frame out, each word once, and takes its length off; says how many words it takes. `None` when it claims more
/// than `limit` bytes.
fn read(area: &[AtomicU64], limit: usize) -> Option<(Bytes, usize)> {
    let (first, others) = area.split_first()?;
    let first = first.load(Relaxed).to_ne_bytes();
    let length = wire::frame_length(*first.first_chunk()?);
    if length > LENGTH + limit {
        return None;
    }
    let mut frame = vec![0; length.next_multiple_of(WORD)];
    let (head, chunks) = frame.as_chunks_mut::<WORD>().0.split_first_mut()?;
    *head = first;
    for (chunk, word) in chunks.iter_mut().zip(others) {
        *chunk = word.load(Relaxed).to_ne_bytes();
    }
    frame.truncate(length);
    Some((Bytes::from(frame).split_off(LENGTH), words_of(length)))
}

/// The words that [`write`] takes for a frame of so many bytes.
fn words_of(length: usize) -> usize {
    length / WORD + 1
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "longer than allowed")
}

#[cfg(test)]
mod tests;
