//! The log: slog-term on standard error, written by a thread of its own.
//!
//! Whoever logs never waits: when the channel to that thread is full, records are dropped, and how many is logged.

use slog::{Drain, Level, LevelFilter, Logger, error, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_term::{FullFormat, TermDecorator};

/// Records that may wait for the thread.
const CHANNEL: usize = 4096;

/// Starts the log. Dropping the guard writes what is left.
pub(super) fn start(debug: bool) -> (Logger, AsyncGuard) {
    let terminal = TermDecorator::new().stderr().build();
    let format = FullFormat::new(terminal).use_utc_timestamp().use_original_order().build().ignore_res();
    let (drain, guard) = Async::new(format)
        .chan_size(CHANNEL)
        .overflow_strategy(OverflowStrategy::DropAndReport)
        .thread_name("log".to_owned())
        .build_with_guard();
    let level = if debug { Level::Debug } else { Level::Info };
    let log = Logger::root(LevelFilter::new(drain, level).ignore_res(), o!());
    log_panics(log.clone());
    (log, guard)
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
