//! `utf8toUnicode`: characters above ASCII become `%uXXXX`. The engines agree on valid characters up to U+FFFF.

use super::{Applied, hex, leading};
use crate::rules::version::EngineVersion;

/// `utf8toUnicode`.
pub(super) fn escape(version: EngineVersion, input: &[u8], out: &mut Vec<u8>) -> Applied {
    let plain = leading(input, |byte| matches!(byte, 0x01..=0x7F));
    let Some((before, rest @ [_, ..])) = input.split_at_checked(plain) else { return Applied::Unchanged };
    out.extend_from_slice(before);
    match version {
        EngineVersion::V2 => escape2(rest, out),
        EngineVersion::V3 => escape3(rest, out),
    }
    if out == input { Applied::Unchanged } else { Applied::Changed }
}

/// 2.9: what is no UTF-8 stays as it is. A zero byte ends the value, unless a byte above ASCII follows: both together
/// are taken for a character.
fn escape2(mut rest: &[u8], out: &mut Vec<u8>) {
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (0, [next @ 0x80..=0xFF, tail @ ..]) => {
                push(u32::from(*next), 4, out);
                rest = tail;
            }
            (0, _) => return,
            (0x01..=0x7F, _) => out.push(*first),
            _ => match character(*first, tail) {
                Some(found) if *first < 0xF5 && !found.is_overlong() && !found.is_surrogate() => {
                    push(found.number, 4, out);
                    rest = found.tail;
                }
                _ => out.push(*first),
            },
        }
    }
}

/// libmodsecurity 3: zero bytes disappear, and so does the first byte of a character that is not whole. That of one which
/// is overlong or half a surrogate pair is added behind it.
fn escape3(mut rest: &[u8], out: &mut Vec<u8>) {
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            0 => {}
            0x01..=0xBF | 0xF8.. => out.push(*first),
            0xC0..=0xF7 => {
                if *first >= 0xF5 {
                    out.push(*first);
                }
                let Some(found) = character(*first, tail) else { continue };
                push(found.number, 6, out);
                if found.is_surrogate() {
                    out.push(*first);
                }
                if found.is_overlong() {
                    out.push(*first);
                }
                rest = found.tail;
            }
        }
    }
}

/// A character of two to four bytes.
struct Character<'a> {
    number: u32,
    /// The least number that needs as many bytes.
    least: u32,
    /// What follows the character.
    tail: &'a [u8],
}

impl Character<'_> {
    fn is_overlong(&self) -> bool {
        self.number < self.least
    }

    fn is_surrogate(&self) -> bool {
        (0xD800..=0xDFFF).contains(&self.number)
    }
}

/// The character that begins with `first`, if the bytes that belong to it are there.
fn character(first: u8, rest: &[u8]) -> Option<Character<'_>> {
    let (bits, least, more) = match first {
        0xC0..=0xDF => (first & 0x1F, 0x80, 1),
        0xE0..=0xEF => (first & 0x0F, 0x800, 2),
        0xF0..=0xF7 => (first & 0x07, 0x1_0000, 3),
        _ => return None,
    };
    let (others, tail) = rest.split_at_checked(more)?;
    let number = others.iter().try_fold(u32::from(bits), |number, &byte| {
        (byte & 0xC0 == 0x80).then(|| number << 6 | u32::from(byte & 0x3F))
    })?;
    Some(Character { number, least, tail })
}

/// Writes `%u` and at least four digits; of more than `most`, only the first ones.
fn push(number: u32, most: usize, out: &mut Vec<u8>) {
    let count = match number {
        0..=0xFFFF => 4,
        0x1_0000..=0xF_FFFF => 5,
        _ => 6,
    };
    out.extend_from_slice(b"%u");
    let digits = (0..count).rev().map(|place| hex::hex_digit((number >> (4 * place)) as u8 & 0x0F));
    out.extend(digits.take(most));
}
