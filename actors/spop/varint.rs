//! Variable-length integers in the encoding of HAProxy's peers protocol (doc/SPOE.txt, section 3.1).
//!
//! A value below 240 is one byte. Above that the first byte carries four bits (and `0xF0`), each following one seven.

use bytes::BufMut;

/// The most bytes an encoded `u64` takes.
pub const MAX_LEN: usize = 10;

/// Appends `value` to `out`: one byte for values below 240, at most [`MAX_LEN`].
pub fn encode(value: u64, out: &mut impl BufMut) {
    if value < 240 {
        out.put_u8(value as u8);
        return;
    }
    out.put_u8(value as u8 | 0xF0);
    let mut rest = (value - 240) >> 4;
    while rest >= 128 {
        out.put_u8(rest as u8 | 0x80);
        rest = (rest - 128) >> 7;
    }
    out.put_u8(rest as u8);
}

/// The number of bytes that [`encode`] writes for `value`.
#[must_use]
pub fn encoded_len(value: u64) -> usize {
    if value < 240 {
        return 1;
    }
    let (mut rest, mut len) = ((value - 240) >> 4, 2);
    while rest >= 128 {
        rest = (rest - 128) >> 7;
        len += 1;
    }
    len
}

/// The result of [`decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The value, and the number of bytes that it took.
    Value(u64, usize),
    /// The bytes end within the integer.
    Incomplete,
    /// The integer does not fit in 64 bits.
    Overflow,
}

/// Reads one integer from the start of `bytes`.
#[must_use]
#[inline]
pub fn decode(bytes: &[u8]) -> Decoded {
    match bytes.split_first() {
        None => Decoded::Incomplete,
        // Most integers are lengths of names and short strings.
        Some((&first, _)) if first < 240 => Decoded::Value(first.into(), 1),
        Some((&first, rest)) => decode_rest(first, rest),
    }
}

fn decode_rest(first: u8, rest: &[u8]) -> Decoded {
    let mut value = u64::from(first);
    let mut shift = 4_u32;
    for (index, &byte) in rest.iter().enumerate() {
        let part = u64::from(byte);
        let shifted = match part.checked_shl(shift) {
            Some(shifted) if shifted >> shift == part => shifted,
            _ => return Decoded::Overflow,
        };
        value = match value.checked_add(shifted) {
            Some(value) => value,
            None => return Decoded::Overflow,
        };
        if byte < 128 {
            return Decoded::Value(value, index + 2);
        }
        shift += 7;
    }
    Decoded::Incomplete
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out);
        out
    }

    #[test]
    fn the_examples_of_the_specification() {
        // One byte up to 239, two up to 2287, three up to 264431.
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(239), [0xEF]);
        assert_eq!(encoded(240), [0xF0, 0x00]);
        assert_eq!(encoded(2287), [0xFF, 0x7F]);
        assert_eq!(encoded(2288), [0xF0, 0x80, 0x00]);
        assert_eq!(encoded(264_431), [0xFF, 0xFF, 0x7F]);
        assert_eq!(encoded(264_432).len(), 4);
    }

    #[test]
    fn the_largest_value_comes_back() {
        let bytes = encoded(u64::MAX);
        assert_eq!(bytes.len(), encoded_len(u64::MAX));
        assert!(bytes.len() <= MAX_LEN);
        assert_eq!(decode(&bytes), Decoded::Value(u64::MAX, bytes.len()));
    }

    #[test]
    fn more_than_64_bits_overflow() {
        let mut bytes = encoded(u64::MAX);
        *bytes.last_mut().unwrap() += 1;
        assert_eq!(decode(&bytes), Decoded::Overflow);
        assert_eq!(decode(&[0xFF; 32]), Decoded::Overflow);
    }

    #[test]
    fn a_cut_integer_is_incomplete() {
        assert_eq!(decode(&[]), Decoded::Incomplete);
        assert_eq!(decode(&[0xF0]), Decoded::Incomplete);
        assert_eq!(decode(&[0xFF, 0xFF]), Decoded::Incomplete);
    }
}
