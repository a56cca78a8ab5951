//! Actions: what an ACK tells HAProxy to do (doc/SPOE.txt, section 3.4).
//!
//! HAProxy stops at the first action that it cannot read and drops the rest without a word, so the variables that
//! decide stand first.

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
}

impl ActionList {
    /// No actions yet.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: BytesMut::with_capacity(128) }
    }

    /// Sets the variable `scope.PREFIX.name`, where the prefix is the one of HAProxy's configuration.
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

    /// Whether there is none. HAProxy 3.1 could hang on an ACK without actions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The payload of the ACK.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.bytes.freeze()
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
        assert_eq!(&actions.into_payload()[..], b"\x01\x03\x02\x04code\x02\x00\x02\x02\x04\x01x");
    }
}
