//! A Connection whose link has ended (capability `async`): it lives on until other links of the same HAProxy have carried
//! the answers that it owes.
//!
//! What such a Connection holds is bounded: it has no socket and no buffers, and each request that it waits for is with a
//! worker or in the bounded queue, until its deadline. Answers that were written before the link ended are not sent again,
//! as it is not known how many of them HAProxy has read.

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
    /// Called after the handshake: from now on other links may carry the answers of this one, and this one theirs.
    pub(super) fn join_siblings(&mut self, ctx: &Context<Self>) {
        let group = self.stream.peer().zip(self.session.engine().cloned());
        let join = |group| Membership::join(&self.context.siblings, group, ctx.address().recipient());
        self.membership = group.map(join);
    }

    /// Closes the link. A NOTIFY whose fragments have not all come is dropped: HAProxy waits for no answer to it.
    pub(super) fn lose_link(&mut self) {
        if let Some((ticket, _)) = self.begun.take() {
            self.unanswered.take(ticket);
        }
        self.session.close();
        self.stream = Stream::Closed;
        (self.input, self.output, self.stalls) = (BytesMut::new(), BytesMut::new(), Stalls::default());
    }

    /// For a Connection without a link: `Ready` when no answer is owed any more, or no other link can carry it.
    pub(super) fn poll_orphan(&mut self, task: &mut Task<'_>) -> Poll<()> {
        self.settle_overdue(task);
        if self.unanswered.is_empty() || self.heir().is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Passes an answer on to another link of the same HAProxy, if there is one.
    pub(super) fn pass_on(&self, id: FrameId, dialect: A::Dialect, actions: &Actions) {
        if let Some(heir) = self.heir() {
            debug!(self.log, # "answer_carried", "another link carries the answer"; "stream" => id.stream, "frame" => id.frame);
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
