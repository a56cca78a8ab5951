//! `urlDecode` and `urlDecodeUni`.

use memchr::memchr2;

use super::{Applied, hex};

/// `urlDecode`: `%xx` and `+`; an invalid escape stays.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Applied {
    decode_escapes(input, out, |_| None)
}

/// `urlDecodeUni`: also `%uXXXX`, of which the lower byte remains.
pub(super) fn decode_with_unicode(input: &[u8], out: &mut Vec<u8>) -> Applied {
    decode_escapes(input, out, |rest| match rest {
        &[b'%', b'u' | b'U', a, b, c, d, ref tail @ ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => {
            Some((hex::narrow([a, b, c, d]), tail))
        }
        _ => None,
    })
}

/// Decodes what `special` knows at a percent sign, then what every decoder knows. The second byte of an escape that
/// nobody knows is no hexadecimal digit or stands last, and so is never the beginning of an escape that is passed over.
fn decode_escapes(
    input: &[u8],
    out: &mut Vec<u8>,
    special: impl Fn(&[u8]) -> Option<(u8, &[u8])>,
) -> Applied {
    let mut rest = input;
    let mut has_changed = false;
    while let Some(at) = memchr2(b'%', b'+', rest) {
        let Some((before, from)) = rest.split_at_checked(at) else { break };
        out.extend_from_slice(before);
        let decoded = match from {
            [b'+', tail @ ..] => Some((b' ', tail)),
            &[b'%', high, low, ref tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                Some((hex::byte(high, low), tail))
            }
            _ => special(from),
        };
        has_changed |= decoded.is_some();
        let (byte, tail) = decoded.unwrap_or((b'%', from.get(1..).unwrap_or_default()));
        out.push(byte);
        rest = tail;
    }
    if !has_changed {
        return Applied::Unchanged;
    }
    out.extend_from_slice(rest);
    Applied::Changed
}
