//! Typed values: what messages carry and what variables are set to (doc/SPOE.txt, section 3.1, TYPED-DATA).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BufMut;

use crate::spop::varint;

/// One value, borrowing its bytes from the payload that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A sample that HAProxy could not fetch.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed 32-bit integer.
    Int32(i32),
    /// An unsigned 32-bit integer.
    Uint32(u32),
    /// A signed 64-bit integer; HAProxy's own integers are of this type.
    Int64(i64),
    /// An unsigned 64-bit integer.
    Uint64(u64),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// Text, which may be any bytes: often the client chose them.
    String(&'a [u8]),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes of a STRING or a BINARY.
    #[must_use]
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::String(bytes) | Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value of an integer of any of the four types, when it is not negative.
    #[must_use]
    pub fn unsigned(&self) -> Option<u64> {
        match *self {
            Self::Int32(value) => u64::try_from(value).ok(),
            Self::Uint32(value) => Some(u64::from(value)),
            Self::Int64(value) => u64::try_from(value).ok(),
            Self::Uint64(value) => Some(value),
            _ => None,
        }
    }

    /// An address, given as one or spelled out in a STRING.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match *self {
            Self::Ipv4(address) => Some(address.into()),
            Self::Ipv6(address) => Some(address.into()),
            Self::String(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The name of the type, as doc/SPOE.txt spells it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "BOOL",
            Self::Int32(_) => "INT32",
            Self::Uint32(_) => "UINT32",
            Self::Int64(_) => "INT64",
            Self::Uint64(_) => "UINT64",
            Self::Ipv4(_) => "IPV4",
            Self::Ipv6(_) => "IPV6",
            Self::String(_) => "STRING",
            Self::Binary(_) => "BINARY",
        }
    }

    /// Appends the value to `out`.
    pub fn encode(&self, out: &mut impl BufMut) {
        match *self {
            Self::Null => out.put_u8(0),
            Self::Bool(value) => out.put_u8(1 | u8::from(value) << 4),
            Self::Int32(value) => integer(2, i64::from(value) as u64, out),
            Self::Uint32(value) => integer(3, u64::from(value), out),
            Self::Int64(value) => integer(4, value as u64, out),
            Self::Uint64(value) => integer(5, value, out),
            Self::Ipv4(address) => {
                out.put_u8(6);
                out.put_slice(&address.octets());
            }
            Self::Ipv6(address) => {
                out.put_u8(7);
                out.put_slice(&address.octets());
            }
            Self::String(bytes) => {
                out.put_u8(8);
                encode_bytes(bytes, out);
            }
            Self::Binary(bytes) => {
                out.put_u8(9);
                encode_bytes(bytes, out);
            }
        }
    }
}

/// Appends a length and as many bytes: a name, or a STRING or BINARY after its type.
pub fn encode_bytes(bytes: &[u8], out: &mut impl BufMut) {
    varint::encode(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn integer(kind: u8, value: u64, out: &mut impl BufMut) {
    out.put_u8(kind);
    varint::encode(value, out);
}
