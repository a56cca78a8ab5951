//! The NOTIFYs of one link that have no ACK yet, and the deadline of each.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_rt::time::{Sleep, sleep};

/// NOTIFYs by ticket. Whoever takes one out answers it, so each is answered once.
pub(crate) struct Unanswered<N> {
    /// The time to the deadline; the same for all, so deadlines are in the order of tickets.
    time: Duration,
    /// What is needed to answer a NOTIFY, by ticket.
    by_ticket: HashMap<u64, N>,
    next_ticket: u64,
    /// Deadlines, the earliest first; NOTIFYs that were answered are still among them.
    deadlines: VecDeque<(Instant, u64)>,
    /// Runs until the first deadline.
    timer: Pin<Box<Sleep>>,
}

impl<N> Unanswered<N> {
    /// Empty; each NOTIFY is due this time after it came.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            time,
            by_ticket: HashMap::new(),
            next_ticket: 0,
            deadlines: VecDeque::new(),
            timer: Box::pin(sleep(Duration::ZERO)),
        }
    }

    /// A ticket for a NOTIFY that comes now, and its deadline. [`insert`](Self::insert) makes it one that is waited for.
    pub(crate) fn ticket(&mut self) -> (u64, Instant) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        (ticket, Instant::now() + self.time)
    }

    /// Adds the NOTIFY with this ticket, which is the latest that was given.
    pub(crate) fn insert(&mut self, (ticket, deadline): (u64, Instant), notify: N) {
        self.by_ticket.insert(ticket, notify);
        self.deadlines.push_back((deadline, ticket));
    }

    /// Removes the NOTIFY with this ticket, if it has no answer yet.
    pub(crate) fn take(&mut self, ticket: u64) -> Option<N> {
        self.by_ticket.remove(&ticket)
    }

    /// The NOTIFY with this ticket, if it has no answer yet.
    pub(crate) fn get_mut(&mut self, ticket: u64) -> Option<&mut N> {
        self.by_ticket.get_mut(&ticket)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_ticket.is_empty()
    }

    /// All tickets.
    pub(crate) fn tickets(&self) -> Vec<u64> {
        self.by_ticket.keys().copied().collect()
    }

    /// The ticket of a NOTIFY that is overdue; the caller takes it out. `Pending` when there is none: the task is woken at the
    /// next deadline.
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
                // `Ready`: the deadline has passed since the comparison above, so the loop finds it overdue.
                if self.timer.as_mut().poll(task).is_pending() {
                    break;
                }
            }
        }
        Poll::Pending
    }
}
