//! The thread of one target: writes what waits, and tells what is missing (records that were dropped, left out, or could
//! not be written) as soon as the target takes lines.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use slog::{Level, OwnedKVList, b, o, record};

use super::queue::{Item, Queue};
use super::record::Entry;
use super::sinks::Sink;

/// How often a target that has lost records is tried again when nothing else is logged.
const RETRY: Duration = Duration::from_secs(1);

/// Writes until the queue is closed and empty.
pub(super) fn run(queue: &Queue, sink: Box<dyn Sink>) {
    let mut writer = Writer { queue, sink, lost: 0, cause: String::new() };
    loop {
        let batch = queue.take((writer.lost > 0).then_some(RETRY));
        writer.tell_lost();
        for item in batch.items {
            match item {
                Item::Entry(entry) => writer.write(&entry),
                Item::Reopen => writer.reopen(),
            }
        }
        if batch.dropped > 0 {
            let text = format_args!("records of this log are dropped, more came than were written");
            writer.write(&entry(&record!(
                Level::Warning,
                "log_records_dropped",
                &text,
                b!("records" => batch.dropped)
            )));
        }
        if batch.limited > 0 {
            let text = format_args!("records of this log are left out, above --log-limit");
            writer.write(&entry(&record!(
                Level::Warning,
                "log_limit_reached",
                &text,
                b!("records" => batch.limited)
            )));
        }
        if batch.is_last {
            break;
        }
    }
}

struct Writer<'a> {
    queue: &'a Queue,
    sink: Box<dyn Sink>,
    /// Records that were lost since the log last told.
    lost: u64,
    /// Why the last one was.
    cause: String,
}

impl Writer<'_> {
    fn write(&mut self, entry: &Entry) {
        match self.sink.write(entry) {
            Ok(()) => {
                self.queue.counts.written.fetch_add(1, Ordering::Relaxed);
                self.tell_lost();
            }
            Err(error) => {
                self.queue.counts.lost.fetch_add(1, Ordering::Relaxed);
                self.lost += 1;
                self.cause = error.to_string();
            }
        }
    }

    /// Tells of lost records, if there are any and the target takes lines again.
    fn tell_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let text = format_args!("lines of this log are lost, it could not be written");
        let pairs = b!("lines" => self.lost, "cause" => self.cause.as_str());
        let told = entry(&record!(Level::Warning, "log_lines_lost", &text, pairs));
        // If not even this line can be written, it is not one of those that are missed.
        if self.sink.write(&told).is_ok() {
            self.lost = 0;
        }
    }

    fn reopen(&mut self) {
        if let Err(error) = self.sink.reopen() {
            let text = format_args!("log file cannot be reopened, going on with the old one");
            let cause = error.to_string();
            let pairs = b!("cause" => &cause);
            self.write(&entry(&record!(Level::Error, "log_reopen_failed", &text, pairs)));
        }
    }
}

fn entry(record: &slog::Record<'_>) -> Arc<Entry> {
    Arc::new(Entry::of(record, &OwnedKVList::from(o!())))
}
