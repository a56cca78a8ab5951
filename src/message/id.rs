//! The agent's own identifiers of transactions.
//!
//! HAProxy gets the identifier itself or, when an engine keeps the transaction for the response, a [`Ticket`] with it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes identifiers that nobody can guess: 32 hexadecimal digits, each half a keyed hash (SipHash, keys from the
/// system's random source) of a counter.
///
/// A client cannot choose or repeat one, as it may with a unique-id that HAProxy takes from a header.
#[derive(Debug, Default)]
pub struct IdSource {
    halves: [RandomState; 2],
    counter: AtomicU64,
}

impl IdSource {
    /// Returns a new identifier.
    pub fn next(&self) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let [high, low] = &self.halves;
        format!("{:016x}{:016x}", high.hash_one(count), low.hash_one(!count))
    }
}

/// The number of digits of an identifier.
const DIGITS: usize = 32;

/// The identifier with which HAProxy sends the response of a parked transaction. Its text is `ID-WORKER-GENERATION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The transaction's identifier.
    pub id: String,
    /// The number of the worker whose engine keeps the transaction.
    pub worker: usize,
    /// The generation of that engine; no two engines of a worker have the same.
    pub generation: u64,
}

impl Ticket {
    /// Reads a ticket; `None` when the text is not one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split('-');
        let (id, worker, generation) = (parts.next()?, parts.next()?, parts.next()?);
        let right =
            id.len() == DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && parts.next().is_none();
        let ticket =
            Self { id: id.to_owned(), worker: worker.parse().ok()?, generation: generation.parse().ok()? };
        Some(ticket).filter(|_| right)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.id, self.worker, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_come_back() {
        let ticket = Ticket { id: IdSource::default().next(), worker: 17, generation: 3 };
        assert_eq!(Ticket::parse(ticket.to_string().as_bytes()), Some(ticket.clone()));
        let id = &ticket.id;
        for bad in [
            "",
            "--",
            "-1-1",
            id,
            &format!("{id}-1"),
            &format!("{id}-1-"),
            &format!("{id}-x-1"),
            &format!("{id}0-1-1"),
        ] {
            assert_eq!(Ticket::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Ticket::parse(format!("{ticket}-1").as_bytes()), None);
    }
}
