//! The settings of the supervision tree: workers, queue, times, and what a link may send.

use std::time::Duration;

use actors::restart::RestartPolicy;
use actors::spop::Limits;
use actors::spop::frame::{MAX_FRAME_SIZE, MIN_FRAME_SIZE};

use super::arguments::Arguments;
use super::{BadOption, capability, number, time};

/// The shortest time in which an engine with a useful set of rules inspects a request. The default queue has room for as
/// many requests as the workers can inspect at that rate within the deadline.
const SHORTEST_SERVICE: Duration = Duration::from_millis(1);

/// The least room of the default queue for each worker, in jobs, however short the deadline is.
const MIN_QUEUE_PER_WORKER: u128 = 16;

/// The largest queue, in jobs. Each waiting job may hold a frame in memory.
const MAX_QUEUE: usize = 65_536;

/// The default of `--max-payload`, in bytes. HAProxy sends at most what its buffer holds, which is hardly ever more.
const MAX_PAYLOAD: u32 = 1024 * 1024;

/// The largest number of workers. No machine has use for more.
const MAX_WORKERS: usize = 1024;

/// Checks the options of the supervision tree and returns its settings.
///
/// # Errors
/// The first of these options that is wrong.
pub(super) fn check(arguments: &Arguments) -> Result<actors::TreeSettings, BadOption> {
    let workers = match arguments.workers.as_deref().unwrap_or("5") {
        // As many as this process may use, by its affinity and its control group.
        "auto" => std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS),
        number => number::parse("--workers", number, 1, MAX_WORKERS)
            .map_err(|BadOption(cause)| BadOption(format!("{cause} or auto")))?,
    };
    let deadline = time::parse("--deadline", arguments.deadline.as_deref().unwrap_or("500ms"))?;
    if deadline.is_zero() {
        return Err(BadOption("--deadline: 0 leaves no time to answer".to_owned()));
    }
    let throttle = time::parse("--throttle", arguments.throttle.as_deref().unwrap_or("0"))?;
    if throttle >= deadline {
        let cause =
            format!("--throttle {throttle:?} leaves no time to answer within --deadline {deadline:?}");
        return Err(BadOption(cause));
    }
    Ok(actors::TreeSettings {
        workers,
        queue: queue(arguments.queue.as_deref(), workers, deadline, throttle)?,
        throttle,
        deadline,
        restart: RestartPolicy::default(),
        limits: limits(arguments)?,
        // HAProxy gives up on requests sooner.
        grace: time::parse("--grace", arguments.grace.as_deref().unwrap_or("5s"))?,
    })
}

/// Returns the room of the queue, in jobs.
///
/// # Errors
/// When the value of `--queue` is not a number in its range.
fn queue(
    given: Option<&str>,
    workers: usize,
    deadline: Duration,
    throttle: Duration,
) -> Result<usize, BadOption> {
    if let Some(given) = given {
        return number::parse("--queue", given, 1, MAX_QUEUE);
    }
    let service = throttle.max(SHORTEST_SERVICE);
    let each = (deadline.as_micros() / service.as_micros()).max(MIN_QUEUE_PER_WORKER);
    Ok(usize::try_from(each).unwrap_or(MAX_QUEUE).saturating_mul(workers).min(MAX_QUEUE))
}

/// Returns the limits on what a link may send.
///
/// # Errors
/// The first of `--max-frame-size`, `--max-payload` and `--capability` that is wrong.
fn limits(arguments: &Arguments) -> Result<Limits, BadOption> {
    let max_frame_size = arguments.max_frame_size.as_deref().unwrap_or("16384");
    let max_frame_size = number::parse("--max-frame-size", max_frame_size, MIN_FRAME_SIZE, MAX_FRAME_SIZE)?;
    let max_payload = match &arguments.max_payload {
        // A message in fragments may be as large as one in a single frame.
        Some(size) => number::parse("--max-payload", size, max_frame_size, MAX_FRAME_SIZE)?,
        None => MAX_PAYLOAD.max(max_frame_size),
    };
    Ok(Limits {
        max_frame_size,
        max_payload: max_payload as usize,
        capabilities: capability::parse_all(&arguments.capability)?,
    })
}
