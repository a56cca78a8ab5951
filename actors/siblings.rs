//! Which links come from the same HAProxy, so that one can bring the answers that another owes (capability `async`).
//!
//! An answer goes back on the link that its request came on. Only when that is gone another one has it: HAProxy takes an
//! ACK on any link of the same engine then. Links are of one engine when they give the same engine-id and come from the
//! same address, or, on a Unix socket, from the same process. So a peer elsewhere that has learned an engine-id gets no
//! answers of others. One on the same host might; what it takes away is missed by HAProxy, which never means "clean".

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use actix::{Message, Recipient};
use bytes::Bytes;

use crate::spop::{Actions, FrameId};

/// Who is at the other end of a link, as far as the system knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// Somebody at this address.
    Address(IpAddr),
    /// This process of this user, on this machine.
    Process { uid: u32, pid: i32 },
}

/// What links of the same HAProxy share.
type Group = (Peer, Bytes);

/// Asks a Connection to write an ACK that another one owes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Carry {
    /// Which request it is for.
    pub(crate) id: FrameId,
    /// The answer.
    pub(crate) actions: Actions,
}

/// All links that take the ACKs of others: at most one entry for each Connection, of all Listeners.
#[derive(Default)]
pub(crate) struct Siblings {
    groups: RefCell<HashMap<Group, BTreeMap<u64, Recipient<Carry>>>>,
    next: Cell<u64>,
}

/// A link's place among them. Dropped, it is left.
pub(crate) struct Membership {
    siblings: Rc<Siblings>,
    group: Group,
    number: u64,
}

impl Membership {
    /// Adds a link, which takes ACKs from now on.
    pub(crate) fn join(siblings: &Rc<Siblings>, peer: Peer, engine: Bytes, link: Recipient<Carry>) -> Self {
        let (group, number) = ((peer, engine), siblings.next.get());
        siblings.next.set(number + 1);
        siblings.groups.borrow_mut().entry(group.clone()).or_default().insert(number, link);
        Self { siblings: Rc::clone(siblings), group, number }
    }

    /// Takes no ACKs any more.
    pub(crate) fn leave(&self) {
        let mut groups = self.siblings.groups.borrow_mut();
        if let Some(links) = groups.get_mut(&self.group) {
            links.remove(&self.number);
            if links.is_empty() {
                groups.remove(&self.group);
            }
        }
    }

    /// The youngest other link: the one that HAProxy will hardly close next.
    pub(crate) fn sibling(&self) -> Option<Recipient<Carry>> {
        let groups = self.siblings.groups.borrow();
        let links = groups.get(&self.group)?;
        links.iter().rev().find(|(number, _)| **number != self.number).map(|(_, link)| link.clone())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave();
    }
}
