//! What the program can see of a tree that runs, from any thread.

use std::sync::Arc;
use std::time::Duration;

use crate::stats::Stats;
use crate::status::{Board, TreeStatus, WorkerStatus};

/// Looks at a tree. [`Root::observer`](crate::Root::observer) makes one.
#[derive(Clone)]
pub struct Observer {
    pub(crate) stats: Arc<Stats>,
    pub(crate) board: Arc<Board>,
    /// Asks the queue for the number of jobs that wait.
    pub(crate) depth: Arc<dyn Fn() -> usize + Send + Sync>,
    /// Asks the queue whether health checks succeed.
    pub(crate) is_healthy: Arc<dyn Fn() -> bool + Send + Sync>,
    pub(crate) queue_limit: usize,
}

impl Observer {
    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The state of each actor.
    #[must_use]
    pub fn status(&self) -> TreeStatus {
        self.board.get(self.queue_depth(), self.queue_limit, (self.is_healthy)())
    }

    /// The state of each Worker.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.board.workers()
    }

    /// The number of open links.
    #[must_use]
    pub fn links(&self) -> usize {
        self.board.links()
    }

    /// Requests that wait for a worker.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        (self.depth)()
    }

    /// The most requests that may wait.
    #[must_use]
    pub fn queue_limit(&self) -> usize {
        self.queue_limit
    }

    /// Whether links are accepted: not before each Worker has its engine, and not once the tree is told to stop.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.board.is_listening()
    }

    /// Whether engines run, and do not die of every request.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        (self.is_healthy)()
    }

    /// The time since the tree's thread last looked after its timers, which it does once a second.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.board.silence()
    }
}
