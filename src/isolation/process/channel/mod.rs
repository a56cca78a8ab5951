//! Jobs and their verdicts, through memory that a worker shares with its engine.
//!
//! The worker writes a batch of jobs and then the batch's number; the engine writes each verdict and then the number of
//! verdicts up to now. The side that waits for a number sleeps on it (`futex(2)`). This costs less than half of a
//! socket, where the kernel copies everything twice.
//!
//! Waking the other side costs more than inspecting a cheap job, so the engine wakes the worker at the end of a batch
//! only. Until then the worker looks now and then; if the engine stalls, the worker takes back the jobs that the engine
//! has not begun. To make that safe, the engine claims each job before it begins with it, and before it posts the
//! verdict on the job before.
//!
//! Between two jobs the engine finishes transactions that nobody asks for any more, and may die of that. So it notes when it
//! is at a job: one that the engine had not begun with when it died is not the cause.
//!
//! The engine may have been exploited by a request. The worker loads each word of a verdict once, into memory of its
//! own, and checks every length and number. With its numbers an engine can only claim that there are verdicts on the
//! current batch, and how many jobs of it have begun. The zygote host, not the engine, tells the worker that the engine
//! is gone ([`Alarm`]). A worker that is woken without cause looks once more.

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use bytes::Bytes;
use rustix::thread::futex;

use super::wire::{self, LENGTH, MAX_JOB, MAX_VERDICT};
use crate::ffi::shared_memory::{Counter, Memory, PAGE};

/// Bytes of a word of the shared memory.
const WORD: usize = size_of::<u64>();

/// The most jobs in a batch.
pub(super) const AT_A_TIME: usize = 32;

/// The words with the jobs of a batch: their number, then the jobs one after the other.
const JOBS: Range<usize> = 0..room(MAX_JOB);

/// The number of words for each verdict of a batch.
const VERDICT: usize = room(MAX_VERDICT);

/// The number of all words.
const WORDS: usize = JOBS.end + AT_A_TIME * VERDICT;

/// Bytes of jobs whose pages stay allocated after a batch, and which a batch of several jobs may take. The pages beyond
/// them go back to the system, so that one long request does not hold megabytes for ever.
pub(super) const KEPT: usize = 4 * PAGE;

/// Bytes of each verdict whose pages stay allocated.
const KEPT_VERDICT: usize = PAGE;

/// The number of words for a frame with `bytes` of content, in whole pages.
const fn room(bytes: usize) -> usize {
    (LENGTH + bytes).next_multiple_of(PAGE) / WORD
}

/// The bits of a [`Counter`] that hold its number.
const NUMBER: u32 = CLOSED - 1;

/// The bit of a [`Counter`] whose writer is gone.
const CLOSED: u32 = 1 << 30;

/// The bit of a [`Counter`] on which a reader sleeps.
const WAITING: u32 = 1 << 31;

/// The bit in the counter of begun jobs that forbids to begin another: the worker has taken the rest back.
const TAKEN_BACK: u32 = 1 << 31;

/// The worker's end. Dropping it lets the engine end.
pub(super) struct WorkerEnd {
    memory: Arc<Memory>,
    /// The number of the current batch.
    batch: u32,
    /// Jobs of the batch, without those that were taken back.
    jobs: usize,
    /// Verdicts on jobs of the batch that were read.
    read: usize,
    /// Verdicts that were read since the start, modulo [`NUMBER`] + 1.
    verdicts: u32,
    /// The words that the jobs of the batch take.
    used: usize,
}

/// The result of a worker's look for a verdict.
pub(super) enum Received {
    /// The verdict on the next job of the batch.
    Verdict(Bytes),
    /// Something that cannot be a verdict: the engine is broken or exploited.
    Garbage,
    /// The [`Alarm`] went off.
    Alarm,
    /// There is no verdict yet.
    Nothing,
}

impl WorkerEnd {
    /// Makes the shared memory. Returns the worker's end, and the descriptor from which the engine opens the other one.
    ///
    /// # Errors
    /// When the memory cannot be made.
    pub(super) fn create() -> io::Result<(Self, OwnedFd)> {
        let (memory, file) = Memory::create(WORDS)?;
        let memory = Arc::new(memory);
        Ok((Self { memory, batch: 0, jobs: 0, read: 0, verdicts: 0, used: 0 }, file))
    }

    /// Returns an alarm that wakes this end when it is dropped.
    pub(super) fn alarm(&self) -> Alarm {
        Alarm(Arc::clone(&self.memory))
    }

    /// Begins a batch. All jobs of the previous batch must have their verdicts, or have been taken back.
    pub(super) fn begin(&mut self) {
        // The first word is for the number of jobs.
        (self.jobs, self.read, self.used) = (0, 0, 1);
    }

    /// Writes a job for the batch. Returns `false` when the batch has no room for the job.
    ///
    /// # Errors
    /// When the job is longer than any batch has room for ([`MAX_JOB`]).
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

    /// Hands the batch over to the engine, and wakes it.
    pub(super) fn hand_over(&mut self) {
        if let Some(count) = self.memory.words().get(JOBS.start) {
            count.store(self.jobs as u64, Relaxed);
        }
        self.batch = self.batch.wrapping_add(1) & NUMBER;
        let [batches, _, begun, at_job] = self.memory.counters();
        begun.0.store(0, Relaxed);
        at_job.0.store(0, Relaxed);
        batches.post(self.batch);
    }

    /// Looks for the next verdict. When there is none, sleeps once, at most `patience`, and looks again.
    pub(super) fn wait(&mut self, patience: Duration) -> Received {
        let [_, verdicts, ..] = self.memory.counters();
        let known = self.verdicts;
        match verdicts.wait(|seen| seen & NUMBER != known || seen & CLOSED != 0, Some(patience)) {
            seen if seen & NUMBER != known => self.read((seen & NUMBER).wrapping_sub(known) & NUMBER),
            seen if seen & CLOSED != 0 => Received::Alarm,
            _ => Received::Nothing,
        }
    }

    /// Reads the next of `ready` verdicts.
    fn read(&mut self, ready: u32) -> Received {
        if ready as usize > self.jobs - self.read {
            return Received::Garbage;
        }
        let start = JOBS.end + self.read * VERDICT;
        let verdict = read(self.memory.words().get(start..start + VERDICT).unwrap_or_default(), MAX_VERDICT);
        self.read += 1;
        self.verdicts = self.verdicts.wrapping_add(1) & NUMBER;
        let Some((verdict, words)) = verdict else { return Received::Garbage };
        self.give_back(start..start + VERDICT, words, KEPT_VERDICT);
        if self.read == self.jobs {
            self.give_back(JOBS, self.used, KEPT);
        }
        Received::Verdict(verdict)
    }

    /// Gives the pages beyond `kept` bytes back to the system, if more than these were used.
    fn give_back(&self, range: Range<usize>, used: usize, kept: usize) {
        if used > kept / WORD {
            // If that fails, the pages stay allocated, which is harmless.
            let _ = self.memory.give_back(range.start + kept / WORD..range.end);
        }
    }

    /// Whether the engine has begun with the job whose verdict is next: what it does otherwise, or dies of, is not that job's
    /// doing. Only says something once the engine is gone, and what an exploited engine says is not trusted: it can only get
    /// its own job to another engine.
    pub(super) fn is_at_job(&self) -> bool {
        let [.., at_job] = self.memory.counters();
        at_job.0.load(Acquire) != 0
    }

    /// Takes back the jobs that the engine has not begun. Returns how many jobs of the batch the engine keeps. An
    /// engine that has begun none keeps all: it has not had a turn of the CPU yet.
    pub(super) fn take_back(&mut self) -> usize {
        let [_, _, begun, _] = self.memory.counters();
        if begun.0.load(Relaxed) != 0 {
            let begun = (begun.0.fetch_or(TAKEN_BACK, AcqRel) & NUMBER) as usize;
            // The engine's number is not trusted: it keeps at least the job whose verdict is next, and at most the
            // batch.
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

/// Wakes a worker when it is dropped, which the zygote host does when the worker's engine is gone.
pub(super) struct Alarm(Arc<Memory>);

impl Drop for Alarm {
    fn drop(&mut self) {
        let [_, verdicts, ..] = self.0.counters();
        verdicts.close();
    }
}

/// The result of an engine's look for a job.
pub(super) enum NextJob {
    /// The next job.
    Job(Bytes),
    /// There is no job yet.
    Nothing,
    /// The worker has let the engine go.
    End,
}

/// The engine's end.
pub(super) struct EngineEnd {
    memory: Memory,
    /// The number of the current batch.
    batch: u32,
    /// Jobs of the batch that are not claimed.
    left: usize,
    /// Whether the next job is claimed.
    claimed: bool,
    /// The word at which the next job starts.
    next: usize,
    /// Verdicts on jobs of the batch that were written.
    answered: usize,
    /// Verdicts that were written since the start, modulo [`NUMBER`] + 1.
    verdicts: u32,
}

impl EngineEnd {
    /// Opens the engine's end of the memory behind `file`, which [`WorkerEnd::create`] has made.
    ///
    /// # Errors
    /// When the memory cannot be mapped.
    pub(super) fn open(file: BorrowedFd<'_>) -> io::Result<Self> {
        let memory = Memory::map(file, WORDS)?;
        Ok(Self { memory, batch: 0, left: 0, claimed: false, next: 0, answered: 0, verdicts: 0 })
    }

    /// Returns the next job. When there is none, sleeps once, at most `patience` (`None`: without limit), and looks
    /// again.
    ///
    /// # Errors
    /// When the job claims to be longer than [`MAX_JOB`].
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
        let [.., at_job] = self.memory.counters();
        at_job.0.store(1, Release);
        let words = self.memory.words().get(self.next..JOBS.end).unwrap_or_default();
        let (job, used) = read(words, MAX_JOB).ok_or_else(too_long)?;
        self.next += used;
        Ok(NextJob::Job(job))
    }

    /// Claims the next job. Returns `false` when the batch has none left or the worker has taken the rest back.
    fn claim(&mut self) -> bool {
        let [_, _, begun, _] = self.memory.counters();
        if self.left == 0 || begun.0.fetch_add(1, AcqRel) & TAKEN_BACK != 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// Claims the next job, then writes the verdict on the job before and posts it. Wakes the worker at the end of a
    /// batch.
    ///
    /// # Errors
    /// When the verdict is longer than [`MAX_VERDICT`].
    pub(super) fn answer(&mut self, verdict: &[u8]) -> io::Result<()> {
        self.claimed = self.claim();
        let start = JOBS.end + self.answered * VERDICT;
        write(self.memory.words().get(start..start + VERDICT).unwrap_or_default(), verdict)?;
        self.answered += 1;
        self.verdicts = self.verdicts.wrapping_add(1) & NUMBER;
        let [_, verdicts, _, at_job] = self.memory.counters();
        at_job.0.store(0, Release);
        match self.claimed {
            true => verdicts.post_quietly(self.verdicts),
            false => verdicts.post(self.verdicts),
        }
        Ok(())
    }
}

impl Counter {
    /// Sets the number, and wakes the reader if it sleeps.
    fn post(&self, number: u32) {
        // The system call is saved when no reader sleeps.
        if self.0.swap(number, AcqRel) & WAITING != 0 {
            self.wake();
        }
    }

    /// Sets the number without waking the reader.
    fn post_quietly(&self, number: u32) {
        let mut seen = self.0.load(Relaxed);
        while let Err(other) = self.0.compare_exchange_weak(seen, number | (seen & !NUMBER), AcqRel, Relaxed)
        {
            seen = other;
        }
    }

    /// Marks the counter as one whose writer is gone, and wakes the reader.
    fn close(&self) {
        self.0.fetch_or(CLOSED, AcqRel);
        self.wake();
    }

    fn wake(&self) {
        // futex(2) has no error for waking at a mapped address.
        let _ = futex::wake(&self.0, futex::Flags::empty(), 1);
    }

    /// Returns the counter's value once `happened` holds for it, or after one sleep, whatever the value is then. The
    /// sleep ends after `patience`, when the counter changes, or without cause.
    fn wait(&self, happened: impl Fn(u32) -> bool, patience: Option<Duration>) -> u32 {
        let seen = self.0.load(Acquire);
        if happened(seen) {
            return seen;
        }
        // A change after this line either finds the sleeper and wakes it, or comes before the sleep: then the kernel
        // compares the value with `seen` and returns at once.
        let seen = self.0.fetch_or(WAITING, AcqRel) | WAITING;
        if happened(seen) {
            return seen;
        }
        let patience = patience.and_then(|patience| patience.try_into().ok());
        // An error only means that the sleep has ended; the value is loaded anew in any case.
        let _ = futex::wait(&self.0, futex::Flags::empty(), seen, patience.as_ref());
        self.0.load(Acquire)
    }
}

/// Writes a frame. Returns the number of words that it takes.
///
/// # Errors
/// When the frame is longer than the area.
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

/// Copies a frame out, loading each word once. Returns the content without the length, and the number of words that the
/// frame takes; `None` when the frame claims more than `limit` bytes.
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

/// The number of words that [`write()`] takes for a frame of `length` bytes.
fn words_of(length: usize) -> usize {
    length / WORD + 1
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "longer than allowed")
}

#[cfg(test)]
mod tests;
