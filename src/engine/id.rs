//! Transaction identifiers of the agent's own.
//!
//! HAProxy gets them as they are, or, when an engine keeps the transaction for the response, as a ticket: the identifier,
//! `-`, and the number of the worker to come back to.

use std::collections::hash_map::RandomState;
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
    /// The next identifier.
    pub fn next(&self) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let [high, low] = &self.halves;
        format!("{:016x}{:016x}", high.hash_one(count), low.hash_one(!count))
    }
}

/// Digits of an identifier.
const DIGITS: usize = 32;

/// What HAProxy is to come back with to the worker of this number.
#[must_use]
pub fn ticket(id: &str, worker: usize) -> String {
    format!("{id}-{worker}")
}

/// The identifier and the worker's number on a ticket.
#[must_use]
pub fn parse_ticket(ticket: &[u8]) -> Option<(&str, usize)> {
    let (id, worker) = std::str::from_utf8(ticket).ok()?.split_once('-')?;
    let right = id.len() == DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((id, worker.parse().ok()?)).filter(|_| right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_come_back() {
        let id = IdSource::default().next();
        assert_eq!(parse_ticket(ticket(&id, 17).as_bytes()), Some((id.as_str(), 17)));
        for bad in
            [&id, "", "-1", &format!("{id}-"), &format!("{id}-x"), &format!("{id}--1"), &format!("{id}0-1")]
        {
            assert_eq!(parse_ticket(bad.as_bytes()), None, "{bad}");
        }
    }
}
