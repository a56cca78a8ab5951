//! The log: slog's records, taken by any number of targets (`--log`), each with a queue and a thread of its own.
//!
//! A thread that logs never waits: when a target's queue is full, records are dropped, and the target says how many
//! (`queue.rs`). What cannot be written, on a full disk, is counted and told in the same way (`writer.rs`). Each kind of
//! target is a file of `sinks/`.

pub mod levels;
mod lines;
mod queue;
mod record;
mod sinks;
pub mod target;
mod writer;

use std::fmt;
use std::io;
use std::sync::mpsc;
use std::sync::{Arc, atomic::Ordering};
use std::thread;
use std::time::Duration;

use slog::{Drain, Logger, Never, OwnedKVList, Record, error, o};

use levels::Levels;
use queue::{Lane, Queue};
use record::{Entry, module};
use target::{Destination, LogSettings};

/// The longest time that the end of the program waits until the last records are written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the log cannot be started.
#[derive(Debug)]
pub(crate) enum LogError {
    /// A target cannot be opened.
    Open(Destination, io::Error),
    /// The thread of a target cannot be started.
    Thread(Destination, io::Error),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(target, cause) => write!(f, "cannot open the log {target}: {cause}"),
            Self::Thread(target, cause) => {
                write!(f, "cannot start the thread of the log {target} (ulimit -u, TasksMax=): {cause}")
            }
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(_, cause) | Self::Thread(_, cause) => Some(cause),
        }
    }
}

/// A target that runs.
struct Output {
    name: String,
    levels: Levels,
    queue: Queue,
}

/// The targets of the running log.
#[derive(Clone)]
pub struct Logs(Arc<[Arc<Output>]>);

/// The records of one target since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetCounts {
    /// The target, as `--log` names it.
    pub target: String,
    /// Records that were written.
    pub written: u64,
    /// Records that `--log-limit` left out.
    pub limited: u64,
    /// Records that were dropped because more was logged than the target took.
    pub dropped: u64,
    /// Records that could not be written.
    pub lost: u64,
}

impl Logs {
    /// Has the log files opened anew, after they were moved away. What was logged before goes to the old files.
    pub fn reopen(&self) {
        self.0.iter().for_each(|output| output.queue.reopen());
    }

    /// What has become of the records of each target.
    pub fn counts(&self) -> Vec<TargetCounts> {
        let counts = |output: &Arc<Output>| {
            let counts = &output.queue.counts;
            TargetCounts {
                target: output.name.clone(),
                written: counts.written.load(Ordering::Relaxed),
                limited: counts.limited.load(Ordering::Relaxed),
                dropped: counts.dropped.load(Ordering::Relaxed),
                lost: counts.lost.load(Ordering::Relaxed),
            }
        };
        self.0.iter().map(counts).collect()
    }
}

impl Drain for Logs {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let (level, module) = (record.level(), module(record.module()));
        let lane = Lane::of(level, record.tag());
        let mut entry = None;
        for output in self.0.iter() {
            if output.levels.admit(level, module) && output.queue.admits(lane) {
                let entry = entry.get_or_insert_with(|| Arc::new(Entry::of(record, values)));
                output.queue.push(lane, Arc::clone(entry));
            }
        }
        Ok(())
    }
}

/// Starts the log. Dropping the [`LastWords`] writes the records that are left.
///
/// # Errors
/// When a target cannot be opened, or its thread not be started.
pub(crate) fn start(settings: &LogSettings) -> Result<(Logger, Logs, LastWords), LogError> {
    let (written, is_written) = mpsc::channel::<()>();
    let mut outputs = Vec::new();
    // If a later target fails, those before it end.
    let mut last_words = LastWords { outputs: Vec::new(), is_written };
    // Dropped before them, or they would wait for it.
    let written = written;
    for target in &settings.targets {
        let destination = &target.destination;
        let sink = sinks::open(destination).map_err(|cause| LogError::Open(destination.clone(), cause))?;
        let output = Arc::new(Output {
            name: destination.to_string(),
            levels: target.levels.clone(),
            queue: Queue::new(settings.limit),
        });
        let (shared, written) = (Arc::clone(&output), written.clone());
        let body = move || {
            writer::run(&shared.queue, sink);
            drop(written);
        };
        let started = thread::Builder::new().name("log".to_owned()).spawn(body);
        started.map_err(|cause| LogError::Thread(destination.clone(), cause))?;
        last_words.outputs.push(Arc::clone(&output));
        outputs.push(output);
    }
    let logs = Logs(outputs.into());
    let log = Logger::root(logs.clone(), o!());
    log_panics(log.clone());
    Ok((log, logs, last_words))
}

/// The records that the targets' threads have not written yet. Dropping them writes them, in two seconds at most.
pub(crate) struct LastWords {
    outputs: Vec<Arc<Output>>,
    /// Ends when the last thread has ended; nothing is ever sent.
    is_written: mpsc::Receiver<()>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        self.outputs.iter().for_each(|output| output.queue.close());
        let _ = self.is_written.recv_timeout(LAST_WORDS);
    }
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
        error!(log, # "panic", "panic"; "thread" => thread, "message" => ?text, "place" => place);
    }));
}
