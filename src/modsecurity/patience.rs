//! The end of loading that stands still: at a FIFO to which nobody writes, or on a file system that does not answer.
//!
//! Nothing can interrupt a system call that waits for a file, so rules are loaded in a thread of their own, which is left
//! behind when it stands still. Loading may take as long as it needs: it stands still when its thread uses no CPU time though it is
//! not waiting for a CPU either.

use std::fs;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, gettid};

use super::error::ApplicationError;
use crate::rules::progress;

/// The longest time for which loading may stand still.
const LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(250);

/// The stack of the thread: as large as that of a main thread, as the engines' parsers may be deep in recursion.
const STACK: usize = 8 * 1024 * 1024;

/// Runs `load` in a thread of its own and returns what it returns. The thread has ended then.
///
/// # Errors
/// When there is no thread, or `load` stands still; then the thread is left behind.
pub(super) fn while_it_moves<T: Send + 'static>(
    load: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApplicationError> {
    let (send, loaded) = channel::<Pid>();
    let body = move || {
        // It is received unless this thread has ended before.
        let _ = send.send(gettid());
        let outcome = load();
        drop(send);
        outcome
    };
    let thread = thread::Builder::new().name("load".to_owned()).stack_size(STACK);
    let thread = thread.spawn(body).map_err(ApplicationError::Thread)?;
    let (mut seen, mut since) = ((progress::current().0, 0), Instant::now());
    let mut thread_id = None;
    // The channel closes with the end of the thread.
    loop {
        match loaded.recv_timeout(TICK) {
            Ok(id) => thread_id = Some(id),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let (step, what) = progress::current();
        let (is_runnable, used) = thread_id.map_or((false, 0), look);
        if (step, used) != seen || is_runnable {
            (seen, since) = ((step, used), Instant::now());
        } else if since.elapsed() >= LIMIT {
            return Err(ApplicationError::StandsStill { what, time: LIMIT });
        }
    }
    thread.join().or_else(|panic| resume_unwind(panic))
}

/// Whether the thread runs or waits for a CPU, which a busy machine may keep from it, and the CPU time that it has used, in ticks
/// of a hundredth of a second (proc_pid_stat(5)). Not that of the process, which has these looks in it.
fn look(thread: Pid) -> (bool, u64) {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    // The name in front of the state is in parentheses and may itself have any.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    // The state is the third field, and the time in user mode and in the kernel the 14th and 15th.
    let used = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    (rest.starts_with('R'), used)
}
