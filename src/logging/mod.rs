//! The log: slog-term on standard error, written by a thread of its own.
//!
//! A thread that logs never waits for standard error: when the channel to the log's thread is full, records are dropped,
//! and the log says how many. Lines that cannot be written, on a full disk, are counted in the same way (`losses.rs`).

mod losses;

use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use slog::{Drain, Level, LevelFilter, Logger, Never, error, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_term::{Decorator, FullFormat, PlainSyncDecorator, TermDecorator};

use losses::{Counted, Losses, Told};

/// The most records that may wait for the log's thread.
const CHANNEL: usize = 4096;

/// The longest time that the end of the program waits until the last records are written to standard error.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Starts the log, at level debug or info. Dropping the [`LastWords`] writes the records that are left.
pub(crate) fn start(debug: bool) -> (Logger, LastWords) {
    let (drain, guard) = Async::new(standard_error())
        .chan_size(CHANNEL)
        .overflow_strategy(OverflowStrategy::DropAndReport)
        .thread_name("log".to_owned())
        .build_with_guard();
    let level = if debug { Level::Debug } else { Level::Info };
    let log = Logger::root(LevelFilter::new(drain, level).ignore_res(), o!());
    log_panics(log.clone());
    (log, LastWords(Some(guard)))
}

/// The records that the log's thread has not written yet. Dropping them writes them, in two seconds at most.
pub(crate) struct LastWords(Option<AsyncGuard>);

impl Drop for LastWords {
    fn drop(&mut self) {
        let (written, is_written) = mpsc::channel::<()>();
        let guard = self.0.take();
        let write = move || {
            drop(guard);
            drop(written);
        };
        if thread::Builder::new().spawn(write).is_ok() {
            // Nothing is ever sent: the wait ends when the sender is dropped (all is written) or the time is up.
            let _ = is_written.recv_timeout(LAST_WORDS);
        }
    }
}

/// A drain to standard error. A terminal gets colours. Anything else gets each line in one write, so that other writers to
/// the same file cannot split the line, and a line costs one system call instead of one for each of its words.
fn standard_error() -> Box<dyn Drain<Ok = (), Err = Never> + Send> {
    if io::stderr().is_terminal() {
        lines(TermDecorator::new().stderr().build())
    } else {
        let losses = Losses::default();
        let out = Counted::new(io::stderr(), losses.clone());
        Box::new(Told::new(lines(PlainSyncDecorator::new(out)), losses))
    }
}

/// A drain that writes one line for each record, with the time in UTC.
fn lines(decorator: impl Decorator + Send + 'static) -> Box<dyn Drain<Ok = (), Err = Never> + Send> {
    Box::new(FullFormat::new(decorator).use_utc_timestamp().use_original_order().build().ignore_res())
}

/// Makes each panic one line of the log instead of several lines on standard error. The code that can survive a panic
/// catches it.
fn log_panics(log: Logger) {
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text =
            text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
        error!(log, "panic"; "thread" => thread, "message" => ?text, "place" => place);
    }));
}
