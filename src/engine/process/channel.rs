//! One job at a time, and its verdict, through memory that a worker shares with its engine.
//!
//! The worker writes a job and then its number, the engine writes the verdict and then the same number; who waits for a
//! number sleeps on it (futex(2)). That takes less than half of what a socket costs, where the kernel copies everything
//! twice.
//!
//! The engine may be the exploited one. Of what it wrote the worker loads each word once, into memory of its own, and
//! believes no length. By its number the engine can only say that there is a verdict; that it is gone the worker hears
//! from the keeper ([`Alarm`]), and whatever wakes it without cause makes it look once more.

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use bytes::Bytes;
use rustix::thread::futex;

use super::os::{Line, Memory, PAGE};
use super::wire::{self, LENGTH, MAX_JOB, MAX_VERDICT};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// The words in which jobs are.
const JOB: Range<usize> = 0..room(MAX_JOB);

/// The words in which verdicts are.
const VERDICT: Range<usize> = JOB.end..JOB.end + room(MAX_VERDICT);

/// Bytes that are kept of each when a longer frame is done with: nobody keeps megabytes for one long request.
pub(super) const KEPT: usize = 4 * PAGE;

/// Words for frames of so many bytes, in whole pages.
const fn room(bytes: usize) -> usize {
    (LENGTH + bytes).next_multiple_of(PAGE) / WORD
}

/// The bits of the number of a job, in a [`Line`].
const NUMBER: u32 = OVER - 1;

/// The bit that says that nothing comes any more.
const OVER: u32 = 1 << 30;

/// The bit that says that somebody sleeps until the number changes.
const WAITING: u32 = 1 << 31;

/// The worker's end. The engine ends when it is dropped.
pub(super) struct WorkerEnd {
    memory: Arc<Memory>,
    /// Of the job at hand.
    number: u32,
    /// The words that the job took.
    used: usize,
}

/// What a worker finds when it looks for a verdict.
pub(super) enum Found {
    /// The verdict.
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
        let (memory, file) = Memory::create(VERDICT.end)?;
        Ok((Self { memory: Arc::new(memory), number: 0, used: 0 }, file))
    }

    /// What wakes this end when the engine is gone.
    pub(super) fn alarm(&self) -> Alarm {
        Alarm(Arc::clone(&self.memory))
    }

    /// Hands over a job. An error means that the engine did not get it.
    pub(super) fn hand_over(&mut self, job: &[u8]) -> io::Result<()> {
        self.used = write(area(&self.memory, JOB), job)?;
        self.number = self.number.wrapping_add(1) & NUMBER;
        let [jobs, _] = self.memory.lines();
        jobs.post(self.number);
        Ok(())
    }

    /// Looks for the verdict on that job, and sleeps once when there is none: for so long, or until something happens.
    pub(super) fn wait(&mut self, patience: Duration) -> Found {
        let [_, verdicts] = self.memory.lines();
        let happened = |seen: u32| seen & NUMBER == self.number || seen & OVER != 0;
        match verdicts.wait(happened, Some(patience)) {
            seen if seen & NUMBER == self.number => {
                let verdict = read(area(&self.memory, VERDICT), LENGTH + MAX_VERDICT);
                self.tidy(verdict.as_ref().map_or(0, |verdict| verdict.len().div_ceil(WORD)));
                verdict.map_or(Found::Garbage, Found::Verdict)
            }
            seen if seen & OVER != 0 => Found::Alarm,
            _ => Found::Nothing,
        }
    }

    /// Gives back the pages of a long job or verdict.
    fn tidy(&self, verdict: usize) {
        for (range, used) in [(JOB, self.used), (VERDICT, verdict)] {
            if used > KEPT / WORD {
                // Then they are kept after all.
                let _ = self.memory.give_back(range.start + KEPT / WORD..range.end);
            }
        }
    }
}

impl Drop for WorkerEnd {
    fn drop(&mut self) {
        let [jobs, _] = self.memory.lines();
        jobs.close();
    }
}

/// Wakes a worker when it is dropped: its engine is gone.
pub(super) struct Alarm(Arc<Memory>);

impl Drop for Alarm {
    fn drop(&mut self) {
        let [_, verdicts] = self.0.lines();
        verdicts.close();
    }
}

/// What an engine finds when it looks for a job.
pub(super) enum Next {
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
    /// Of the last job.
    number: u32,
}

impl EngineEnd {
    /// The end that belongs to this descriptor of a worker's.
    pub(super) fn open(file: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { memory: Memory::map(file, VERDICT.end)?, number: 0 })
    }

    /// Waits once for the next job, for so long or without end.
    pub(super) fn next_job(&mut self, patience: Option<Duration>) -> io::Result<Next> {
        let [jobs, _] = self.memory.lines();
        match jobs.wait(|seen| seen & NUMBER != self.number || seen & OVER != 0, patience) {
            seen if seen & OVER != 0 => Ok(Next::End),
            seen if seen & NUMBER != self.number => {
                self.number = seen & NUMBER;
                read(area(&self.memory, JOB), LENGTH + MAX_JOB).map(Next::Job).ok_or_else(too_long)
            }
            _ => Ok(Next::Nothing),
        }
    }

    /// Answers the job.
    pub(super) fn answer(&mut self, verdict: &[u8]) -> io::Result<()> {
        write(area(&self.memory, VERDICT), verdict)?;
        let [_, verdicts] = self.memory.lines();
        verdicts.post(self.number);
        Ok(())
    }
}

impl Line {
    /// Sets the number, and wakes who waits for it.
    fn post(&self, number: u32) {
        // A system call for nothing if nobody does.
        if self.0.swap(number, AcqRel) & WAITING != 0 {
            self.wake();
        }
    }

    /// Says that nothing comes any more.
    fn close(&self) {
        self.0.fetch_or(OVER, AcqRel);
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

fn area(memory: &Memory, range: Range<usize>) -> &[AtomicU64] {
    memory.words().get(range).unwrap_or_default()
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

/// Copies a frame out, each word once, and takes its length off; `None` when it claims more than `limit` bytes.
fn read(area: &[AtomicU64], limit: usize) -> Option<Bytes> {
    let (first, others) = area.split_first()?;
    let first = first.load(Relaxed).to_ne_bytes();
    let length = wire::frame_length(*first.first_chunk()?);
    if length > limit {
        return None;
    }
    let mut frame = vec![0; length.next_multiple_of(WORD)];
    let (head, chunks) = frame.as_chunks_mut::<WORD>().0.split_first_mut()?;
    *head = first;
    for (chunk, word) in chunks.iter_mut().zip(others) {
        *chunk = word.load(Relaxed).to_ne_bytes();
    }
    frame.truncate(length);
    Some(Bytes::from(frame).split_off(LENGTH))
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "longer than allowed")
}

#[cfg(test)]
mod tests;
