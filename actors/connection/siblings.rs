//! Which links come from the same HAProxy, so that one can carry the answers that another owes (capability `async`).
//!
//! An answer goes back on the link that its request came on. When that link is gone, another link carries it: with `async`
//! HAProxy takes an ACK on any link of the same SPOE engine. Links belong to one engine when they give the same engine-id
//! and come from the same address or, on a Unix socket, from the same process of the same user.
//!
//! An engine-id is therefore of no use to an attacker at another address. An attacker at HAProxy's own address could use
//! it in two ways: to take answers away (HAProxy then has no answer, which never counts as clean), and to forge answers, by
//! sending a clean request with the number of one that HAProxy waits for and closing the link. At that address the
//! engine-id is a secret of HAProxy and its agents: this agent does not log it, but HAProxy makes it with the generator of
//! `uuid()`, which is not meant for secrets. Over TCP the protocol has no better proof. On a Unix socket the kernel names
//! the process, so another process cannot join.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use actix::{Message, Recipient};
use bytes::Bytes;

use crate::spop::{Actions, FrameId};
use crate::stream::Peer;

/// What links of the same HAProxy share: where it is, and its engine-id.
type Group = (Peer, Bytes);

/// Asks a Connection to write an ACK that another Connection owes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Carry<D> {
    /// The NOTIFY that it acknowledges.
    pub(crate) id: FrameId,
    /// The dialect of an error, in case the actions do not fit in a frame.
    pub(crate) dialect: D,
    /// The payload of the ACK.
    pub(crate) actions: Actions,
}

/// The links of each group, by number.
type Groups<D> = HashMap<Group, BTreeMap<u64, Recipient<Carry<D>>>>;

/// The links that carry the ACKs of others, of all Listeners: at most one entry for each open link.
pub(crate) struct Siblings<D: Send + 'static> {
    groups: RefCell<Groups<D>>,
    next: Cell<u64>,
}

impl<D: Send + 'static> Default for Siblings<D> {
    fn default() -> Self {
        Self { groups: RefCell::default(), next: Cell::default() }
    }
}

/// The membership of one link in its group, which ends when this is dropped.
pub(crate) struct Membership<D: Send + 'static> {
    siblings: Rc<Siblings<D>>,
    group: Group,
    number: u64,
}

impl<D: Send + 'static> Membership<D> {
    /// Adds a link to its group: from now on it carries the ACKs of others.
    pub(crate) fn join(siblings: &Rc<Siblings<D>>, group: Group, link: Recipient<Carry<D>>) -> Self {
        let number = siblings.next.get();
        siblings.next.set(number + 1);
        siblings.groups.borrow_mut().entry(group.clone()).or_default().insert(number, link);
        Self { siblings: Rc::clone(siblings), group, number }
    }

    /// Called when the link is closed: it leaves its group. Returns the link that carries the ACKs that it owes: the youngest
    /// in the group, which HAProxy is least likely to close next.
    pub(crate) fn heir(&self) -> Option<Recipient<Carry<D>>> {
        self.leave();
        let groups = self.siblings.groups.borrow();
        groups.get(&self.group)?.last_key_value().map(|(_, link)| link.clone())
    }

    fn leave(&self) {
        let mut groups = self.siblings.groups.borrow_mut();
        if let Some(links) = groups.get_mut(&self.group) {
            links.remove(&self.number);
            if links.is_empty() {
                groups.remove(&self.group);
            }
        }
    }
}

impl<D: Send + 'static> Drop for Membership<D> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use actix::{Actor, Context, Handler, System};

    use super::*;

    struct Link;

    impl Actor for Link {
        type Context = Context<Self>;
    }

    impl Handler<Carry<()>> for Link {
        type Result = ();

        fn handle(&mut self, _: Carry<()>, _: &mut Self::Context) {}
    }

    const HERE: Peer = Peer::Address(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));

    fn join(
        siblings: &Rc<Siblings<()>>,
        peer: Peer,
        engine: &'static str,
    ) -> (Membership<()>, Recipient<Carry<()>>) {
        let link = Link.start().recipient();
        (Membership::join(siblings, (peer, Bytes::from_static(engine.as_bytes())), link.clone()), link)
    }

    #[test]
    fn an_heir_has_the_same_name_and_comes_from_the_same_place() {
        System::new().block_on(async {
            let process = |uid, pid| Peer::Process { uid, pid };
            let elsewhere = Peer::Address(Ipv4Addr::new(127, 0, 0, 2).into());
            let siblings = Rc::default();
            let _others = [
                join(&siblings, HERE, "b"),
                join(&siblings, elsewhere, "a"),
                join(&siblings, process(7, 8), "a"),
                join(&siblings, process(7, 9), "a"),
                join(&siblings, process(6, 9), "a"),
            ];
            for peer in [HERE, process(7, 7), process(8, 8)] {
                assert!(join(&siblings, peer.clone(), "a").0.heir().is_none(), "{peer:?}");
            }
            let (_older, _younger) = (join(&siblings, HERE, "a"), join(&siblings, HERE, "a"));
            let (leaving, _) = join(&siblings, HERE, "a");
            assert!(leaving.heir().unwrap() == _younger.1);
        });
    }

    #[test]
    fn of_links_that_are_gone_nothing_is_kept() {
        System::new().block_on(async {
            let siblings = Rc::default();
            let (first, link) = join(&siblings, HERE, "a");
            let (second, _) = join(&siblings, HERE, "a");
            drop(second);
            let (third, _) = join(&siblings, HERE, "b");
            assert!(third.heir().is_none());
            let (fourth, _) = join(&siblings, HERE, "a");
            assert!(fourth.heir().unwrap() == link);
            assert_eq!(siblings.groups.borrow().values().map(BTreeMap::len).sum::<usize>(), 1);
            drop(first);
            assert!(siblings.groups.borrow().is_empty());
        });
    }
}
