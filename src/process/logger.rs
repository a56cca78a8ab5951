//! The log: slog-term on standard error, written by a thread of its own.
//!
//! Whoever logs never waits: when the channel to that thread is full, records are dropped, and how many is logged.

use std::io::{self, IsTerminal};

use slog::{Drain, Level, LevelFilter, Logger, Never, error, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_term::{Decorator, FullFormat, PlainSyncDecorator, TermDecorator};

/// Records that may wait for the thread.
const CHANNEL: usize = 4096;

/// Starts the log. Dropping the guard writes what is left.
pub(super) fn start(debug: bool) -> (Logger, AsyncGuard) {
    let (drain, guard) = Async::new(standard_error())
        .chan_size(CHANNEL)
        .overflow_strategy(OverflowStrategy::DropAndReport)
        .thread_name("log".to_owned())
        .build_with_guard();
    let level = if debug { Level::Debug } else { Level::Info };
    let log = Logger::root(LevelFilter::new(drain, level).ignore_res(), o!());
    log_panics(log.clone());
    (log, guard)
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
