//! `jsDecode`, `cssDecode` and `escapeSeqDecode`: escapes that begin with a backslash.

use memchr::{memchr, memchr2};

use super::{Applied, hex, is_space};
use crate::rules::version::EngineVersion;

/// Replaces escapes: `decode` gets what follows a backslash, at least one byte, and gives the byte that the escape stands
/// for, if any, and what follows the escape. A backslash at the end stays.
fn replace(input: &[u8], out: &mut Vec<u8>, decode: impl Fn(&[u8]) -> (Option<u8>, &[u8])) -> Applied {
    let mut rest = input;
    while let Some((before, tail)) = memchr(b'\\', rest).and_then(|at| rest.split_at_checked(at)) {
        let Some(escape @ [_, ..]) = tail.get(1..) else { break };
        out.extend_from_slice(before);
        let (byte, tail) = decode(escape);
        out.extend(byte);
        rest = tail;
    }
    if rest.len() == input.len() {
        return Applied::Unchanged;
    }
    out.extend_from_slice(rest);
    Applied::Changed
}

/// `jsDecode`: `\uHHHH`, `\xHH`, octal numbers up to `\377`, the letters of C; any other byte stands for itself.
pub(super) fn js_decode(input: &[u8], out: &mut Vec<u8>) -> Applied {
    replace(input, out, |escape| match escape {
        &[b'u', a, b, c, d, ref tail @ ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => {
            (Some(hex::narrow([a, b, c, d])), tail)
        }
        &[b'x', high, low, ref tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (Some(hex::byte(high, low)), tail)
        }
        [b'0'..=b'3', ..] => octal(escape, 3),
        [b'4'..=b'7', ..] => octal(escape, 2),
        [first, tail @ ..] => (Some(control(*first).unwrap_or(*first)), tail),
        [] => (None, escape),
    })
}

/// `escapeSeqDecode`: `\xHH` and `\XHH`, octal numbers of three digits, the letters of C; any other byte stands for
/// itself.
pub(super) fn c_decode(input: &[u8], out: &mut Vec<u8>) -> Applied {
    replace(input, out, |escape| match escape {
        &[b'x' | b'X', high, low, ref tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (Some(hex::byte(high, low)), tail)
        }
        [b'0'..=b'7', ..] => octal(escape, 3),
        [first, tail @ ..] => (Some(control(*first).unwrap_or(*first)), tail),
        [] => (None, escape),
    })
}

/// The lowest byte of an octal number of at most `most` digits.
fn octal(text: &[u8], most: usize) -> (Option<u8>, &[u8]) {
    let digits = text.iter().take(most).take_while(|byte| matches!(byte, b'0'..=b'7'));
    let (count, value) = digits.fold((0, 0_u8), |(count, value), digit| {
        (count + 1, value.wrapping_mul(8).wrapping_add(digit - b'0'))
    });
    (Some(value), text.get(count..).unwrap_or_default())
}

/// The control character that C writes with this letter.
fn control(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0B,
        _ => return None,
    })
}

/// `cssDecode`: one to six hexadecimal digits and a white space behind them, of which the lowest byte remains; a line feed
/// disappears, and so does a backslash at the end. With libmodsecurity 3 the result ends at the first zero byte.
pub(super) fn css_decode(version: EngineVersion, input: &[u8], out: &mut Vec<u8>) -> Applied {
    let is_identity = match version {
        EngineVersion::V2 => memchr(b'\\', input).is_none(),
        EngineVersion::V3 => memchr2(b'\\', 0, input).is_none(),
    };
    if is_identity {
        return Applied::Unchanged;
    }
    let mut rest = input;
    while let Some((before, tail)) = memchr(b'\\', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(before);
        let escape = tail.get(1..).unwrap_or_default();
        let length = escape.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
        rest = match escape.split_at_checked(length).unwrap_or((&[], escape)) {
            ([], [b'\n', tail @ ..]) => tail,
            ([], [other, tail @ ..]) => {
                out.push(*other);
                tail
            }
            ([], []) => &[],
            (digits, tail) => {
                out.push(css_byte(digits));
                match tail {
                    [space, tail @ ..] if is_space(*space) => tail,
                    _ => tail,
                }
            }
        };
    }
    out.extend_from_slice(rest);
    if version == EngineVersion::V3
        && let Some(end) = memchr(0, out)
    {
        out.truncate(end);
    }
    Applied::Changed
}

/// The byte of one to six digits: full-width forms are taken for ASCII only where all digits before their four are 0.
fn css_byte(digits: &[u8]) -> u8 {
    match *digits {
        [digit] => hex::digit(digit),
        [a, b, c, d] | [b'0', a, b, c, d] | [b'0', b'0', a, b, c, d] => hex::narrow([a, b, c, d]),
        [.., high, low] => hex::byte(high, low),
        [] => 0,
    }
}
