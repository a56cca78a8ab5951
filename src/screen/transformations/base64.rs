//! `base64Decode`, which the engines leave to libraries: APR's and mbed TLS's.

use memchr::memchr;

use super::Applied;
use crate::rules::version::EngineVersion;

/// `base64Decode`.
pub(super) fn decode(version: EngineVersion, input: &[u8], out: &mut Vec<u8>) -> Applied {
    match version {
        EngineVersion::V2 => decode_beginning(input, out),
        EngineVersion::V3 => decode_valid(input, out),
    }
    if out == input { Applied::Unchanged } else { Applied::Changed }
}

/// APR's: up to the first foreign byte, of which padding is one. A last letter alone says nothing.
fn decode_beginning(input: &[u8], out: &mut Vec<u8>) {
    let mut letters = input.iter().map_while(|&byte| value(byte)).fuse();
    while let Some(first) = letters.next() {
        let group = [Some(first), letters.next(), letters.next(), letters.next()];
        push_group(group, out);
    }
}

/// mbed TLS's: all or nothing. Line ends are skipped, blanks only before them, and a zero byte ends the text.
fn decode_valid(input: &[u8], out: &mut Vec<u8>) {
    let text = memchr(0, input).and_then(|end| input.get(..end)).unwrap_or(input);
    if is_valid(text) {
        let mut group = [None; 4];
        let mut filled = 0;
        for &byte in text.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | b' ')) {
            if let Some(place) = group.get_mut(filled) {
                *place = value(byte);
            }
            filled += 1;
            if filled == 4 {
                push_group(std::mem::take(&mut group), out);
                filled = 0;
            }
        }
    }
}

/// Whether mbed TLS decodes the text.
fn is_valid(text: &[u8]) -> bool {
    let mut padding = 0;
    let mut has_blanks = false;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b' ' => {
                has_blanks = true;
                continue;
            }
            b'\r' if tail.first() == Some(&b'\n') => {}
            b'\n' => {}
            _ if has_blanks => return false,
            b'=' => padding += 1,
            _ if value(*byte).is_none() || padding > 0 => return false,
            _ => {}
        }
        has_blanks = false;
        if padding > 2 {
            return false;
        }
    }
    true
}

/// Adds the whole bytes of up to four letters.
fn push_group(group: [Option<u8>; 4], out: &mut Vec<u8>) {
    let [Some(a), Some(b), c, d] = group else { return };
    out.push(a << 2 | b >> 4);
    let Some(c) = c else { return };
    out.push(b << 4 | c >> 2);
    let Some(d) = d else { return };
    out.push(c << 6 | d);
}

/// The six bits of a letter.
fn value(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
