//! The NOTIFYs of one link that have no ACK yet, and when each is due.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_rt::time::{Sleep, sleep};

use crate::spop::FrameId;

/// Whoever takes one out answers it, so each is answered once.
pub(crate) struct Unanswered<D> {
    /// How long each may take; the same for all, so they are due in the order in which they came.
    time: Duration,
    /// Whom to answer, and in which dialect, by ticket.
    by_ticket: HashMap<u64, (FrameId, D)>,
    next_ticket: u64,
    /// When they are due, in that order; those answered meanwhile among them.
    deadlines: VecDeque<(Instant, u64)>,
    /// Runs until the first of them.
    timer: Pin<Box<Sleep>>,
}

impl<D: Copy> Unanswered<D> {
    /// None yet; each is due so long after it came.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            time,
            by_ticket: HashMap::new(),
            next_ticket: 0,
            deadlines: VecDeque::new(),
            timer: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// A ticket for what comes now, and when that is due. It is not awaited yet.
    pub(crate) fn ticket(&mut self) -> (u64, Instant) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        (ticket, Instant::now() + self.time)
    }

    /// Awaits the answer to the one with this ticket, the latest that was given.
    pub(crate) fn insert(&mut self, (ticket, deadline): (u64, Instant), whom: (FrameId, D)) {
        self.by_ticket.insert(ticket, whom);
        self.deadlines.push_back((deadline, ticket));
    }

    /// Takes one out, if it is still there.
    pub(crate) fn take(&mut self, ticket: u64) -> Option<(FrameId, D)> {
        self.by_ticket.remove(&ticket)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_ticket.is_empty()
    }

    /// The tickets of all.
    pub(crate) fn tickets(&self) -> Vec<u64> {
        self.by_ticket.keys().copied().collect()
    }

    /// The next one that is overdue, which the caller takes out. `Pending` when there is none, and the task wakes when
    /// there is.
    pub(crate) fn poll_overdue(&mut self, task: &mut Context<'_>) -> Poll<u64> {
        while let Some(&(due, ticket)) = self.deadlines.front() {
            if !self.by_ticket.contains_key(&ticket) {
                self.deadlines.pop_front();
            } else if due <= Instant::now() {
                self.deadlines.pop_front();
                return Poll::Ready(ticket);
            } else {
                if self.timer.deadline() != due.into() {
                    self.timer.as_mut().reset(due.into());
                }
                // Done already: the clock has moved on since it was looked at.
                if self.timer.as_mut().poll(task).is_pending() {
                    break;
                }
            }
        }
        Poll::Pending
    }
}
