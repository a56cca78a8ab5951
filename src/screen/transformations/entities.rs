//! `htmlEntityDecode`: numbers, and the five names that the engines know.

use memchr::memchr;

use super::Applied;

/// `htmlEntityDecode`. A semicolon after the entity may be missing.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Applied {
    let mut rest = input;
    let mut has_changed = false;
    while let Some((before, tail)) = memchr(b'&', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(before);
        // Of what is no entity nothing is passed over: none of its other bytes can be an ampersand.
        let after = tail.get(1..).unwrap_or_default();
        let (byte, tail) = match entity(after) {
            Some((byte, tail)) => {
                has_changed = true;
                (byte, tail.strip_prefix(b";").unwrap_or(tail))
            }
            None => (b'&', after),
        };
        out.push(byte);
        rest = tail;
    }
    if !has_changed {
        return Applied::Unchanged;
    }
    out.extend_from_slice(rest);
    Applied::Changed
}

/// The byte that the entity stands for, whose ampersand comes before `text`, and what follows its last letter or digit.
fn entity(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => {
            let (name, tail) = run(text, u8::is_ascii_alphanumeric);
            let names: [(&[u8], u8); 5] =
                [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xA0)];
            let &(_, byte) = names.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
            Some((byte, tail))
        }
    }
}

/// The lowest byte of a number. One that strtol(3) cannot hold is the largest that it can, whose lowest byte is 0xFF.
fn number(text: &[u8], base: u8) -> Option<(u8, &[u8])> {
    let is_digit = if base == 16 { u8::is_ascii_hexdigit } else { u8::is_ascii_digit };
    let (digits, tail) = run(text, is_digit);
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_i64, |value, &digit| {
        let digit = super::hex::digit(digit);
        value.checked_mul(base.into())?.checked_add(digit.into())
    });
    Some((value.map_or(0xFF, |value| value.to_le_bytes()[0]), tail))
}

/// Splits off the longest beginning of such bytes.
fn run(text: &[u8], is_part: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let length = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, &[]))
}
