//! The log: slog-term on standard error, written by a thread of its own.
//!
//! Whoever logs never waits: when the channel to that thread is full, records are dropped, and how many is logged.

use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use slog::{Drain, Level, LevelFilter, Logger, Never, error, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_term::{Decorator, FullFormat, PlainSyncDecorator, TermDecorator};

/// Records that may wait for the thread.
const CHANNEL: usize = 4096;

/// How long the end may wait for whoever reads standard error.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Starts the log. Dropping the last words writes what is left.
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

/// What the log's thread has not written yet.
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
            // An error says that it is done, or that it takes too long.
            let _ = is_written.recv_timeout(LAST_WORDS);
        }
    }
}

/// A terminal gets colours. Anything else gets each line in one write: what others write to the same file does not come to
/// stand within it, and a line costs one system call instead of one for each of its words.
fn standard_error() -> Box<dyn Drain<Ok = (), Err = Never> + Send> {
    if io::stderr().is_terminal() {
        lines(TermDecorator::new().stderr().build())
    } else {
        lines(PlainSyncDecorator::new(io::stderr()))
    }
}

fn lines(decorator: impl Decorator + Send + 'static) -> Box<dyn Drain<Ok = (), Err = Never> + Send> {
    Box::new(FullFormat::new(decorator).use_utc_timestamp().use_original_order().build().ignore_res())
}

/// Panics are caught where they can be survived; here they get one line instead of several on standard error.
fn log_panics(log: Logger) {
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text =
            text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
        error!(log, "panic"; "thread" => thread, "message" => %text.escape_debug(), "place" => place);
    }));
}
