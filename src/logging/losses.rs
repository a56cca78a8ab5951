//! Lines of the log that could not be written: counted, and told as soon as there is room again.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use slog::{Drain, Level, Never, OwnedKVList, Record, b, o, record};

/// How often a log that has lost lines is tried again when nothing else is logged.
const RETRY: Duration = Duration::from_secs(1);

/// The number of lines that were lost since the log last told.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses(Arc<AtomicU64>);

impl Losses {
    fn count(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }

    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A writer of whole lines, one in each call, that counts those that cannot be written and reports no error.
pub(super) struct Counted<W> {
    out: W,
    losses: Losses,
    /// Only a part of the last line was written: the next one must not be joined to it.
    is_torn: bool,
}

impl<W: Write> Counted<W> {
    pub(super) fn new(out: W, losses: Losses) -> Self {
        Self { out, losses, is_torn: false }
    }

    /// Writes all of `line`; if that fails, returns whether a part of it was written.
    fn try_write(&mut self, line: &[u8]) -> Result<(), bool> {
        let mut rest = line;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return Err(rest.len() < line.len()),
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = match self.is_torn {
            true => self.try_write(&[b"\n", line].concat()),
            false => self.try_write(line),
        };
        match written {
            Ok(()) => self.is_torn = false,
            Err(in_part) => {
                self.is_torn |= in_part;
                self.losses.count(1);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Lines are not kept back.
        Ok(())
    }
}

/// A drain that tells of lost lines before the next line, or a second later when there is none.
pub(super) struct Told<D>(Arc<Shared<D>>);

struct Shared<D> {
    /// Held while lines are written, so that the two threads do not count the same loss.
    drain: Mutex<D>,
    losses: Losses,
    /// Whether a thread tries again once a second.
    is_retried: AtomicBool,
}

impl<D> Told<D>
where
    D: Drain<Ok = (), Err = Never> + Send + 'static,
{
    /// For a drain that ends in a [`Counted`] with these losses.
    pub(super) fn new(drain: D, losses: Losses) -> Self {
        Self(Arc::new(Shared { drain: Mutex::new(drain), losses, is_retried: AtomicBool::new(false) }))
    }

    /// Starts a thread that tries again, unless there is one. Called with the drain locked.
    fn retry(&self) {
        if self.0.is_retried.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(&self.0);
        let retry = move || {
            loop {
                thread::sleep(RETRY);
                let drain = shared.drain.lock().unwrap_or_else(PoisonError::into_inner);
                shared.tell(&drain);
                if shared.losses.is_none() {
                    // With the lock: whoever loses a line from now on sees that nobody tries again.
                    shared.is_retried.store(false, Ordering::Relaxed);
                    break;
                }
            }
        };
        if thread::Builder::new().name("log-retry".to_owned()).spawn(retry).is_err() {
            // The next line tells.
            self.0.is_retried.store(false, Ordering::Relaxed);
        }
    }
}

impl<D: Drain<Ok = (), Err = Never>> Shared<D> {
    /// Tells of the lines that were lost, if there are any and the log can be written again.
    fn tell(&self, drain: &D) {
        let lost = self.losses.take();
        if lost == 0 {
            return;
        }
        let text = format_args!("lines of this log are lost, it could not be written");
        let Ok(()) =
            drain.log(&record!(Level::Warning, "", &text, b!("lines" => lost)), &OwnedKVList::from(o!()));
        if self.losses.take() > 0 {
            // Not even this line could be written; it is not one of those that are missed.
            self.losses.count(lost);
        }
    }
}

impl<D> Drain for Told<D>
where
    D: Drain<Ok = (), Err = Never> + Send + 'static,
{
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let drain = self.0.drain.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.tell(&drain);
        let Ok(()) = drain.log(record, values);
        if !self.0.losses.is_none() {
            self.retry();
        }
        drop(drain);
        Ok(())
    }
}
