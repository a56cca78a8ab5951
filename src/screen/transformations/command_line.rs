//! `cmdLine`: what shells ignore goes away.

use memchr::memchr;

use super::{Applied, leading};
use crate::rules::version::EngineVersion;

/// `cmdLine`. With 2.9 the result ends at the first zero byte.
pub(super) fn normalize(version: EngineVersion, input: &[u8], out: &mut Vec<u8>) -> Applied {
    let text = match version {
        EngineVersion::V2 => memchr(0, input).and_then(|end| input.get(..end)).unwrap_or(input),
        EngineVersion::V3 => input,
    };
    // What follows a byte of these may be changed as well.
    let is_plain = |byte: u8| {
        !byte.is_ascii_uppercase()
            && !matches!(byte, b'"' | b'\'' | b'\\' | b'^' | b' ' | b',' | b';' | b'\t' | b'\r' | b'\n')
    };
    let plain = leading(text, is_plain);
    let Some((plain, rest)) = text.split_at_checked(plain) else { return Applied::Unchanged };
    if plain.len() == input.len() {
        return Applied::Unchanged;
    }
    out.extend_from_slice(plain);
    let mut is_after_blank = false;
    for &byte in rest {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => continue,
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !is_after_blank {
                    out.push(b' ');
                }
                is_after_blank = true;
                continue;
            }
            b'/' | b'(' if is_after_blank => drop(out.pop()),
            _ => {}
        }
        out.push(byte.to_ascii_lowercase());
        is_after_blank = false;
    }
    if out == input { Applied::Unchanged } else { Applied::Changed }
}
