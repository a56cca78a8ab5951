//! Whether the tree answers, for a watchdog: a message to Root is passed on to the Pool and to each Listener, and counts as
//! answered when all of them have. An actor that has ended, or a thread that does not come to its mailbox, never answers.

use actix::{Context, Handler, Message, Recipient};

use crate::agent::Agent;
use crate::listener::Listener;
use crate::pool::Pool;
use crate::root::{Root, TreeEvent};

/// Asks whether the tree answers. [`TreeEvent::Alive`] follows when the Pool and each Listener have answered; with a second
/// `Ping` the answers to the first count no more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ping;

/// Root's question to an actor below it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Beat {
    round: u64,
    root: Recipient<Beaten>,
}

/// The answer to a [`Beat`].
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Beaten {
    round: u64,
}

/// The question that waits for its answers.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    round: u64,
    missing: usize,
}

impl Pulse {
    /// Begins a round in which this many actors are to answer, and returns its number.
    fn begin(&mut self, actors: usize) -> u64 {
        self.round += 1;
        self.missing = actors;
        self.round
    }

    /// Counts one answer. Returns whether it was the last of its round.
    fn count(&mut self, round: u64) -> bool {
        if round != self.round || self.missing == 0 {
            return false;
        }
        self.missing -= 1;
        self.missing == 0
    }
}

impl<A: Agent> Handler<Ping> for Root<A> {
    type Result = ();

    fn handle(&mut self, _: Ping, ctx: &mut Self::Context) {
        let Some(pool) = &self.pool else { return };
        let round = self.pulse.begin(1 + self.listeners.len());
        let beat = || Beat { round, root: actix::AsyncContext::address(ctx).recipient() };
        pool.do_send(beat());
        self.listeners.iter().for_each(|listener| listener.do_send(beat()));
    }
}

impl<A: Agent> Handler<Beaten> for Root<A> {
    type Result = ();

    fn handle(&mut self, beaten: Beaten, _: &mut Self::Context) {
        if self.pulse.count(beaten.round) {
            self.tell(TreeEvent::Alive { verdicts: self.queue.admission().verdicts() });
        }
    }
}

impl<A: Agent> Handler<Beat> for Pool<A> {
    type Result = ();

    fn handle(&mut self, beat: Beat, _: &mut Context<Self>) {
        beat.answer();
    }
}

impl<A: Agent> Handler<Beat> for Listener<A> {
    type Result = ();

    fn handle(&mut self, beat: Beat, _: &mut Context<Self>) {
        beat.answer();
    }
}

impl Beat {
    fn answer(self) {
        self.root.do_send(Beaten { round: self.round });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_over_when_each_has_answered_in_it() {
        let mut pulse = Pulse::default();
        let first = pulse.begin(2);
        assert!(!pulse.count(first));
        let second = pulse.begin(2);
        assert!(!pulse.count(first), "the answer of an older round counts");
        assert!(!pulse.count(second));
        assert!(pulse.count(second));
        assert!(!pulse.count(second), "an answer too many counts");
    }
}
