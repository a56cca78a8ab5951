//! `cmdLine`: what shells ignore goes away.

use memchr::memchr;

use super::Applied;
use crate::rules::version::EngineVersion;

/// `cmdLine`. With 2.9 the result ends at the first zero byte.
pub(super) fn normalize(version: EngineVersion, input: &[u8], out: &mut Vec<u8>) -> Applied {
    let text = match version {
        EngineVersion::V2 => memchr(0, input).and_then(|end| input.get(..end)).unwrap_or(input),
        EngineVersion::V3 => input,
    };
    let mut is_after_blank = false;
    for &byte in text {
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
