//! `hexDecode` and `hexEncode`, and the digits of all other escapes.

use super::Applied;

/// The byte that two hexadecimal digits stand for. Of other bytes it makes what the engines make of them.
pub(in crate::screen) fn byte(high: u8, low: u8) -> u8 {
    digit(high).wrapping_mul(16).wrapping_add(digit(low))
}

/// The number that a hexadecimal digit stands for. Of another byte it makes what the engines make of it.
pub(super) fn digit(byte: u8) -> u8 {
    match byte {
        b'A'.. => (byte & 0xDF).wrapping_sub(b'A').wrapping_add(10),
        _ => byte.wrapping_sub(b'0'),
    }
}

/// The byte that four hexadecimal digits stand for in the engines: the lower one, and ASCII for the full-width forms
/// U+FF01 to U+FF5E.
pub(super) fn narrow(digits: [u8; 4]) -> u8 {
    let [a, b, c, d] = digits;
    let low = byte(c, d);
    let is_wide = a.eq_ignore_ascii_case(&b'f') && b.eq_ignore_ascii_case(&b'f');
    if is_wide && (0x01..0x5F).contains(&low) { low + 0x20 } else { low }
}

/// `hexDecode`: a last digit without a second one is dropped.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Applied {
    if input.is_empty() {
        return Applied::Unchanged;
    }
    let (pairs, _) = input.as_chunks::<2>();
    out.extend(pairs.iter().map(|&[high, low]| byte(high, low)));
    Applied::Changed
}

/// `hexEncode`.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> Applied {
    if input.is_empty() {
        return Applied::Unchanged;
    }
    out.extend(input.iter().flat_map(|&byte| [hex_digit(byte >> 4), hex_digit(byte & 0x0F)]));
    Applied::Changed
}

/// The lower-case digit of a number below 16.
pub(super) fn hex_digit(number: u8) -> u8 {
    if number < 10 { b'0' + number } else { b'a' + (number & 0x0F) - 10 }
}
