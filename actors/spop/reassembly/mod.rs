//! Reassembly: the payload of a NOTIFY that comes in fragments (doc/SPOE.txt, sections 3.2 and 3.2.6).
//!
//! HAProxy up to 3.0 sends one payload in fragments at a time on each link: a NOTIFY without FIN, then UNSET frames, the
//! last with FIN. Memory grows with the bytes that have arrived: up to a limit for each payload, and out of a [`Budget`]
//! that all links share. The bytes of a payload count against the budget until the payload is dropped, so payloads that
//! wait for a worker are bounded too.
//!
//! A payload that grows too large is not aborted: its other fragments are ignored, and it is answered after the last of
//! them. SPOP has ACK with ABORT for this, but HAProxy 2.6 and 3.0 then ignore the actions of the ACK and lose count of the
//! frames in flight, so that the link is never used again. They ignore an ACK without ABORT while fragments are to come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::spop::frame::{Frame, FrameId};
use crate::spop::status::{ProtocolError, Status};

/// The budget of all links together, in payloads of the largest size.
pub const LARGEST_AT_A_TIME: usize = 64;

/// Bytes of fragmented payloads that all links together may have.
#[derive(Clone, Debug)]
pub struct Budget {
    left: Arc<AtomicUsize>,
}

impl Budget {
    /// A budget of this size; its clones share it.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// Bytes that are not in use.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// Why a payload in fragments is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The payload is larger than a payload may be.
    Payload,
    /// The payloads of all links together have used up the budget, or memory is short.
    Budget,
}

/// The bytes of a payload, and their share of the budget.
#[derive(Debug)]
struct Collected {
    bytes: Vec<u8>,
    taken: usize,
    budget: Budget,
}

impl Collected {
    fn new(budget: Budget) -> Self {
        Self { bytes: Vec::new(), taken: 0, budget }
    }

    /// Adds a fragment. When memory grows it at least doubles, so that bytes are copied seldom; it never exceeds `limit`.
    fn push(&mut self, fragment: &[u8], limit: usize) -> Result<(), Excess> {
        let length = self.bytes.len().saturating_add(fragment.len());
        if length > limit {
            return Err(Excess::Payload);
        }
        if length > self.taken {
            let wanted = self.taken.saturating_mul(2).min(limit).max(length);
            if !self.budget.take(wanted.saturating_sub(self.taken)) {
                return Err(Excess::Budget);
            }
            self.taken = wanted;
            let more = wanted.saturating_sub(self.bytes.len());
            self.bytes.try_reserve_exact(more).map_err(|_| Excess::Budget)?;
        }
        self.bytes.extend_from_slice(fragment);
        Ok(())
    }
}

impl AsRef<[u8]> for Collected {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}

/// What a fragment has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More fragments are to come.
    More,
    /// The last fragment has come; this is the payload.
    Whole(Bytes),
    /// The last fragment of a payload that is refused has come.
    TooMuch(Excess),
    /// HAProxy has aborted the payload.
    GivenUp,
    /// The last fragment has come of a payload that was answered before.
    Answered,
}

#[derive(Debug)]
enum State {
    /// No payload has begun.
    Idle,
    /// Fragments are collected.
    Collecting(FrameId, Collected),
    /// Fragments are ignored; the payload is answered after the last of them.
    TooMuch(FrameId, Excess),
    /// Fragments are ignored; the payload was answered.
    Answered(FrameId),
}

/// The fragments on one link.
#[derive(Debug)]
pub(super) struct Reassembly {
    limit: usize,
    budget: Budget,
    state: State,
}

impl Reassembly {
    /// For payloads of at most `limit` bytes, out of this budget.
    pub(super) fn new(limit: usize, budget: Budget) -> Self {
        Self { limit, budget, state: State::Idle }
    }

    /// Checks that a NOTIFY is allowed now.
    pub(super) fn check_idle(&self) -> Result<(), ProtocolError> {
        match self.state {
            // After an ACK with ABORT, HAProxy goes on with the next request and sends no more fragments of this one.
            State::Idle | State::Answered(_) => Ok(()),
            State::Collecting(..) | State::TooMuch(..) => {
                Err(ProtocolError::new(Status::Interlaced, "a notify came between the fragments of another"))
            }
        }
    }

    /// Takes a NOTIFY without FIN.
    pub(super) fn begin(&mut self, frame: &Frame) -> Result<(), ProtocolError> {
        self.check_idle()?;
        if frame.is_abort() {
            return Err(abort_without_fin());
        }
        let mut collected = Collected::new(self.budget.clone());
        self.state = match collected.push(&frame.payload, self.limit) {
            Ok(()) => State::Collecting(frame.id, collected),
            Err(excess) => State::TooMuch(frame.id, excess),
        };
        Ok(())
    }

    /// Takes an UNSET frame.
    pub(super) fn go_on(&mut self, frame: &Frame) -> Result<Step, ProtocolError> {
        let (State::Collecting(id, _) | State::TooMuch(id, _) | State::Answered(id)) = self.state else {
            return Err(ProtocolError::new(Status::Interlaced, "a fragment came without a notify before it"));
        };
        if id != frame.id {
            return Err(ProtocolError::new(Status::Interlaced, "a fragment came of another notify"));
        }
        if frame.is_abort() && !frame.is_final() {
            return Err(abort_without_fin());
        }
        if !frame.is_final() {
            if let State::Collecting(_, collected) = &mut self.state
                && let Err(excess) = collected.push(&frame.payload, self.limit)
            {
                self.state = State::TooMuch(id, excess);
            }
            return Ok(Step::More);
        }
        Ok(match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle | State::Answered(_) => Step::Answered,
            State::Collecting(..) | State::TooMuch(..) if frame.is_abort() => Step::GivenUp,
            State::TooMuch(_, excess) => Step::TooMuch(excess),
            State::Collecting(_, mut collected) => match collected.push(&frame.payload, self.limit) {
                Ok(()) => Step::Whole(Bytes::from_owner(collected)),
                Err(excess) => Step::TooMuch(excess),
            },
        })
    }

    /// Drops the fragments of the payload that has begun, because it is answered now. Returns its identifiers.
    pub(super) fn abort(&mut self) -> Option<FrameId> {
        let (State::Collecting(id, _) | State::TooMuch(id, _)) = self.state else {
            return None;
        };
        self.state = State::Answered(id);
        Some(id)
    }

    /// Drops the fragments of the payload that has begun.
    pub(super) fn clear(&mut self) {
        self.state = State::Idle;
    }
}

/// "When it is set, the FIN bit must also be set" (SPOE.txt, 3.2).
fn abort_without_fin() -> ProtocolError {
    ProtocolError::new(Status::Invalid, "a fragment has the ABORT flag and not FIN")
}

#[cfg(test)]
mod tests;
