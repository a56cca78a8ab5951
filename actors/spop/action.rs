//! Actions: what an ACK tells HAProxy to do (doc/SPOE.txt, section 3.4).
//!
//! HAProxy stops at the first action that it cannot read, and drops the rest silently, so the variables that decide stand
//! first.

use bytes::{BufMut, Bytes, BytesMut};

use crate::spop::value::{Value, encode_bytes};

/// The life time of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// The whole process.
    Process = 0,
    /// The client's connection.
    Session = 1,
    /// Request and response.
    Transaction = 2,
    /// The request alone.
    Request = 3,
    /// The response alone.
    Response = 4,
}

/// The actions of one ACK, encoded as they are added.
#[derive(Clone, Debug, Default)]
pub struct ActionList {
    bytes: BytesMut,
    essential: Option<usize>,
}

/// The payload of an ACK.
#[derive(Clone, Debug)]
pub struct Actions {
    bytes: Bytes,
    essential: usize,
}

/// Makes actions of which none may be left out.
impl From<Bytes> for Actions {
    fn from(bytes: Bytes) -> Self {
        Self { essential: bytes.len(), bytes }
    }
}

impl Actions {
    /// The encoded actions: all of them when they fit in `room` bytes, else the essential ones, which may be longer than
    /// `room`.
    #[must_use]
    pub fn within(&self, room: usize) -> &[u8] {
        if self.bytes.len() <= room {
            return &self.bytes;
        }
        self.bytes.get(..self.essential).unwrap_or(&self.bytes)
    }
}

impl ActionList {
    /// No actions yet.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: BytesMut::with_capacity(256), essential: None }
    }

    /// Sets the variable `scope.PREFIX.name`, where `PREFIX` is `option var-prefix` in HAProxy's configuration.
    ///
    /// With its scope and prefix the name must stay under 64 bytes, or HAProxy ignores it.
    pub fn set_var(&mut self, scope: Scope, name: &str, value: Value<'_>) {
        self.bytes.put_slice(&[1, 3, scope as u8]);
        encode_bytes(name.as_bytes(), &mut self.bytes);
        value.encode(&mut self.bytes);
    }

    /// Removes the variable `scope.PREFIX.name`.
    pub fn unset_var(&mut self, scope: Scope, name: &str) {
        self.bytes.put_slice(&[2, 2, scope as u8]);
        encode_bytes(name.as_bytes(), &mut self.bytes);
    }

    /// Actions that are added after this call may be left out of an ACK that would be too long for its frame.
    pub fn end_essential(&mut self) {
        self.essential = Some(self.bytes.len());
    }

    /// Whether the list has no action. HAProxy 3.1 can hang on an ACK without actions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The payload of the ACK.
    #[must_use]
    pub fn into_payload(self) -> Actions {
        Actions { essential: self.essential.unwrap_or(self.bytes.len()), bytes: self.bytes.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_and_unset_are_these_bytes() {
        let mut actions = ActionList::new();
        actions.set_var(Scope::Transaction, "code", Value::Int32(0));
        actions.unset_var(Scope::Response, "x");
        // set-var (1), 3 arguments, txn (2), "code", INT32 0; unset-var (2), 2 arguments, res (4), "x".
        let payload = actions.into_payload();
        assert_eq!(payload.within(100), b"\x01\x03\x02\x04code\x02\x00\x02\x02\x04\x01x");
    }

    #[test]
    fn what_is_not_essential_goes_first() {
        let mut actions = ActionList::new();
        actions.unset_var(Scope::Response, "x");
        actions.end_essential();
        actions.unset_var(Scope::Response, "y");
        let payload = actions.into_payload();
        assert_eq!(payload.within(10), b"\x02\x02\x04\x01x\x02\x02\x04\x01y");
        assert_eq!(payload.within(9), b"\x02\x02\x04\x01x");
        // Not even that fits: the session refuses it.
        assert_eq!(payload.within(4), b"\x02\x02\x04\x01x");
    }
}
