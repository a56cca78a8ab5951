//! Takes integers, strings and typed values off the front of a payload, without copying any of it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::spop::value::Value;
use crate::spop::varint::{self, Decoded};

/// Why a payload cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The payload ends within the named part, or announces more bytes than it has.
    Truncated(&'static str),
    /// An integer of more bits than its type has.
    IntegerTooLarge,
    /// A typed value whose type (low nibble of its first byte) SPOP does not have.
    UnknownType(u8),
    /// An item that SPOP allows once is there twice.
    Duplicate(&'static str),
    /// An item has a type other than the one that SPOP gives it.
    WrongType(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(what) => write!(f, "payload ends within {what}"),
            Self::IntegerTooLarge => f.write_str("integer too large for its type"),
            Self::UnknownType(kind) => write!(f, "unknown data type {kind}"),
            Self::Duplicate(what) => write!(f, "{what} given twice"),
            Self::WrongType(what) => write!(f, "{what} has the wrong type"),
        }
    }
}

impl std::error::Error for Malformed {}

/// A position in a payload.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `payload`.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Whether no byte is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that are left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes one byte. `what` is the name of that part in the error.
    ///
    /// # Errors
    /// When no byte is left.
    #[inline]
    pub fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed::Truncated(what))?;
        self.rest = rest;
        Ok(first)
    }

    /// Takes an integer. `what` is the name of that part in the error.
    ///
    /// # Errors
    /// When the payload ends within the integer, or the integer does not fit in 64 bits.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        match varint::decode(self.rest) {
            Decoded::Value(value, len) => {
                self.take(len, what)?;
                Ok(value)
            }
            Decoded::Incomplete => Err(Malformed::Truncated(what)),
            Decoded::Overflow => Err(Malformed::IntegerTooLarge),
        }
    }

    /// Takes a length and as many bytes: a STRING, a BINARY, a name.
    ///
    /// # Errors
    /// As [`varint`](Self::varint), and when fewer bytes are left than the length says.
    #[inline]
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.varint(what)?;
        let len = usize::try_from(len).map_err(|_| Malformed::Truncated(what))?;
        self.take(len, what)
    }

    /// Takes one typed value (doc/SPOE.txt, section 3.1, TYPED-DATA).
    ///
    /// # Errors
    /// When the payload ends within the value, its type is unknown, or its integer does not fit in its type.
    #[inline]
    pub fn value(&mut self, what: &'static str) -> Result<Value<'a>, Malformed> {
        let head = self.byte(what)?;
        let value = match head & 0x0F {
            0 => Value::Null,
            1 => Value::Bool(head & 0x10 != 0),
            2 => Value::Int32(
                i32::try_from(self.varint(what)? as i64).map_err(|_| Malformed::IntegerTooLarge)?,
            ),
            3 => Value::Uint32(u32::try_from(self.varint(what)?).map_err(|_| Malformed::IntegerTooLarge)?),
            4 => Value::Int64(self.varint(what)? as i64),
            5 => Value::Uint64(self.varint(what)?),
            6 => Value::Ipv4(Ipv4Addr::from(self.array::<4>(what)?)),
            7 => Value::Ipv6(Ipv6Addr::from(self.array::<16>(what)?)),
            8 => Value::String(self.bytes(what)?),
            9 => Value::Binary(self.bytes(what)?),
            other => return Err(Malformed::UnknownType(other)),
        };
        Ok(value)
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// When fewer bytes are left.
    #[inline]
    pub fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8]) -> Result<Value<'_>, Malformed> {
        Reader::new(bytes).value("value")
    }

    #[test]
    fn each_type_from_its_bytes() {
        assert_eq!(value(&[0x00]), Ok(Value::Null));
        assert_eq!(value(&[0x01]), Ok(Value::Bool(false)));
        assert_eq!(value(&[0x11]), Ok(Value::Bool(true)));
        assert_eq!(value(&[0x02, 5]), Ok(Value::Int32(5)));
        assert_eq!(value(&[0x03, 0xF0, 0x00]), Ok(Value::Uint32(240)));
        assert_eq!(value(&[0x04, 7]), Ok(Value::Int64(7)));
        assert_eq!(value(&[0x05, 9]), Ok(Value::Uint64(9)));
        assert_eq!(value(&[0x06, 127, 0, 0, 1]), Ok(Value::Ipv4(Ipv4Addr::LOCALHOST)));
        let mut six = vec![0x07];
        six.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(value(&six), Ok(Value::Ipv6(Ipv6Addr::LOCALHOST)));
        assert_eq!(value(b"\x08\x03GET"), Ok(Value::String(b"GET")));
        assert_eq!(value(b"\x09\x02\xFF\x00"), Ok(Value::Binary(b"\xFF\x00")));
    }

    #[test]
    fn a_negative_integer_is_its_64_bit_complement() {
        let mut bytes = vec![0x04];
        varint::encode(-5_i64 as u64, &mut bytes);
        assert_eq!(value(&bytes), Ok(Value::Int64(-5)));
    }

    #[test]
    fn a_lying_length_is_truncated() {
        assert_eq!(value(b"\x08\x09GET"), Err(Malformed::Truncated("value")));
        let mut huge = vec![0x09];
        varint::encode(u64::MAX, &mut huge);
        assert_eq!(value(&huge), Err(Malformed::Truncated("value")));
    }

    #[test]
    fn an_unknown_type_is_named() {
        assert_eq!(value(&[0x0A]), Err(Malformed::UnknownType(10)));
    }
}
