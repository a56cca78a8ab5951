//! The settings of the supervision tree: workers, queue, times, and what a link may send.

use std::time::Duration;

use actors::restart::RestartPolicy;
use actors::spop::Limits;
use actors::spop::frame::{MAX_FRAME_SIZE, MIN_FRAME_SIZE};

use super::arguments::Arguments;
use super::{BadOption, capability, number, time};

/// The time that a request takes an engine at least, with rules worth loading: as many requests as fit into the deadline
/// at that rate may wait.
const SHORTEST_SERVICE: Duration = Duration::from_millis(1);

/// Jobs that may wait for each worker whatever the deadline is.
const MIN_QUEUE_PER_WORKER: u128 = 16;

/// More jobs than it makes sense to have waiting: each may hold a frame.
const MAX_QUEUE: usize = 65_536;

/// The largest payload in fragments without `--max-payload`, in bytes. HAProxy sends what its buffer holds, which is
/// hardly ever more.
const MAX_PAYLOAD: u32 = 1024 * 1024;

/// More workers than any machine has use for.
const MAX_WORKERS: usize = 1024;

/// How long requests in flight may take when the agent is told to stop. HAProxy has given up on them by then.
const GRACE: Duration = Duration::from_secs(5);

/// Checks what concerns the tree.
///
/// # Errors
/// The first option that is wrong.
pub(super) fn check(arguments: &Arguments) -> Result<actors::Settings, BadOption> {
    let workers = number::parse("--workers", arguments.workers.as_deref().unwrap_or("5"), 1, MAX_WORKERS)?;
    let deadline = time::parse("--deadline", arguments.deadline.as_deref().unwrap_or("500ms"))?;
    let throttle = time::parse("--throttle", arguments.throttle.as_deref().unwrap_or("0"))?;
    if throttle >= deadline {
        let cause =
            format!("--throttle {throttle:?} leaves no time to answer within --deadline {deadline:?}");
        return Err(BadOption(cause));
    }
    Ok(actors::Settings {
        workers,
        queue: queue(arguments.queue.as_deref(), workers, deadline, throttle)?,
        throttle,
        deadline,
        restart: RestartPolicy::default(),
        limits: limits(arguments)?,
        grace: GRACE,
    })
}

/// How many jobs may wait.
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

/// What a link may send.
fn limits(arguments: &Arguments) -> Result<Limits, BadOption> {
    let max_frame_size = arguments.max_frame_size.as_deref().unwrap_or("16384");
    let max_frame_size = number::parse("--max-frame-size", max_frame_size, MIN_FRAME_SIZE, MAX_FRAME_SIZE)?;
    let max_payload = match &arguments.max_payload {
        // What comes in fragments may be as large as what comes in one frame, which an engine takes.
        Some(size) => number::parse("--max-payload", size, max_frame_size, MAX_FRAME_SIZE)?,
        None => MAX_PAYLOAD.max(max_frame_size),
    };
    Ok(Limits {
        max_frame_size,
        max_payload: max_payload as usize,
        capabilities: capability::parse_all(&arguments.capability)?,
    })
}
