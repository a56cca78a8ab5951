//! NOTIFY: the messages that HAProxy sends to the agent (doc/SPOE.txt, section 3.2.6).
//!
//! `message name | u8 number of arguments | (argument name, typed value)…`, one after the other.

use crate::spop::reader::{Malformed, Reader};
use crate::spop::value::Value;

/// The messages of one NOTIFY, read one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    reader: Reader<'a>,
}

impl<'a> Messages<'a> {
    /// Reads the messages in `payload`.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { reader: Reader::new(payload) }
    }

    fn message(&mut self) -> Result<Message<'a>, Malformed> {
        let name = self.reader.bytes("a message name")?;
        let count = self.reader.byte("the number of arguments")?;
        let arguments = Arguments { reader: self.reader, left: count };
        // Their length is not announced: the arguments are read to check that they are whole, and to find the next message.
        for _ in 0..count {
            self.reader.bytes("an argument name")?;
            self.reader.value("an argument")?;
        }
        Ok(Message { name, arguments })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    /// The next message; after an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let message = self.message();
        if message.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(message)
    }
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The name that HAProxy's configuration gives it (`spoe-message NAME`).
    pub name: &'a [u8],
    /// The arguments, in the order of the configuration.
    pub arguments: Arguments<'a>,
}

/// One argument of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument<'a> {
    /// The name before `=` in HAProxy's configuration; empty when there is none.
    pub name: &'a [u8],
    /// The sample that HAProxy fetched.
    pub value: Value<'a>,
}

/// The arguments of a message that [`Messages`] found to be whole.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    reader: Reader<'a>,
    left: u8,
}

impl<'a> Iterator for Arguments<'a> {
    type Item = Argument<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // `Messages` has read both without an error, so neither ends the iteration early.
        let name = self.reader.bytes("an argument name").ok()?;
        let value = self.reader.value("an argument").ok()?;
        Some(Argument { name, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for Arguments<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_messages_from_their_bytes() {
        // "ab" with method="GET" and an unnamed NULL, then "c" without arguments.
        let payload = b"\x02ab\x02\x06method\x08\x03GET\x00\x00\x01c\x00";
        let messages: Vec<_> = Messages::new(payload).map(Result::unwrap).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].name, b"ab");
        let arguments: Vec<_> = messages[0].arguments.collect();
        assert_eq!(arguments[0], Argument { name: b"method", value: Value::String(b"GET") });
        assert_eq!(arguments[1], Argument { name: b"", value: Value::Null });
        assert_eq!(messages[1].name, b"c");
        assert_eq!(messages[1].arguments.count(), 0);
    }

    #[test]
    fn a_message_with_fewer_arguments_than_it_says_is_an_error_and_the_last() {
        let mut messages = Messages::new(b"\x02ab\x02\x06method\x08\x03GET");
        assert_eq!(messages.next().unwrap().unwrap_err(), Malformed::Truncated("an argument name"));
        assert!(messages.next().is_none());
    }
}
