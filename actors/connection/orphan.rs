//! A Connection whose link has ended (capability `async`): it lives on until other links of the same HAProxy have brought
//! the answers that it owes.
//!
//! What it holds meanwhile is bounded: no socket and no buffers, and at least one request that a worker has or that
//! waits in the workers' queue, until its deadline. What was written already is not brought again: nobody knows how much
//! of it HAProxy has read.

use std::task::{Context as Task, Poll};

use actix::{AsyncContext, Context, Handler, Recipient};
use bytes::BytesMut;
use slog::debug;

use super::Connection;
use super::siblings::{Carry, Membership};
use super::stall::Stalls;
use crate::agent::Agent;
use crate::spop::{Actions, FrameId};
use crate::stream::Stream;

impl<A: Agent> Connection<A> {
    /// The handshake is done: others may bring the answers of this link, and it theirs.
    pub(super) fn join_siblings(&mut self, ctx: &Context<Self>) {
        let group = self.stream.peer().zip(self.session.engine().cloned());
        let join = |group| Membership::join(&self.context.siblings, group, ctx.address().recipient());
        self.membership = group.map(join);
    }

    /// Closes the link for good. Nobody awaits the answer to what has not come whole.
    pub(super) fn lose_link(&mut self) {
        if let Some((ticket, _)) = self.begun.take() {
            self.unanswered.take(ticket);
        }
        self.session.close();
        self.stream = Stream::Closed;
        (self.input, self.output, self.stalls) = (BytesMut::new(), BytesMut::new(), Stalls::default());
    }

    /// Without a link: `Ready` when nothing is owed any more, or nobody could bring it.
    pub(super) fn poll_orphan(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.settle_overdue(task);
        if self.unanswered.is_empty() || self.heir().is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Has another link bring an answer, if there is one that may.
    pub(super) fn pass_on(&self, id: FrameId, dialect: A::Dialect, actions: &Actions) {
        if let Some(heir) = self.heir() {
            debug!(self.log, "another link brings the answer"; "stream" => id.stream, "frame" => id.frame);
            heir.do_send(Carry { id, dialect, actions: actions.clone() });
        }
    }

    fn heir(&self) -> Option<Recipient<Carry<A::Dialect>>> {
        self.membership.as_ref()?.heir()
    }
}

impl<A: Agent> Handler<Carry<A::Dialect>> for Connection<A> {
    type Result = ();

    fn handle(&mut self, carry: Carry<A::Dialect>, _: &mut Self::Context) {
        self.acknowledge(carry.id, carry.dialect, &carry.actions);
    }
}
