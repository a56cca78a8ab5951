//! `compressWhitespace`, `removeWhitespace` and the three of `trim`.

use super::{Applied, is_space, leading};
use crate::rules::version::EngineVersion;

/// The non-breaking space of Latin-1, which in UTF-8 follows 0xC2.
const NO_BREAK: u8 = 0xA0;

/// `compressWhitespace`: each run of white space becomes one blank. 2.9 takes 0xA0 for white space.
pub(super) fn compress(version: EngineVersion, input: &[u8], out: &mut Vec<u8>) -> Applied {
    let is_white = |byte: u8| is_space(byte) || byte == NO_BREAK && version == EngineVersion::V2;
    let plain = leading(input, |byte| !is_white(byte));
    let Some((plain, rest @ [_, ..])) = input.split_at_checked(plain) else { return Applied::Unchanged };
    out.extend_from_slice(plain);
    let mut is_in_run = false;
    for &byte in rest {
        let is_white = is_white(byte);
        if !is_white {
            out.push(byte);
        } else if !is_in_run {
            out.push(b' ');
        }
        is_in_run = is_white;
    }
    if out == input { Applied::Unchanged } else { Applied::Changed }
}

/// `removeWhitespace`. Both engines take 0xA0 for white space, and libmodsecurity 3 also 0xC2.
pub(super) fn remove(version: EngineVersion, input: &[u8], out: &mut Vec<u8>) -> Applied {
    let is_kept =
        |byte: u8| !is_space(byte) && byte != NO_BREAK && (byte != 0xC2 || version == EngineVersion::V2);
    let kept = leading(input, is_kept);
    let Some((kept, rest @ [_, ..])) = input.split_at_checked(kept) else { return Applied::Unchanged };
    out.extend_from_slice(kept);
    out.extend(rest.iter().copied().filter(|&byte| is_kept(byte)));
    Applied::Changed
}

/// `trim`, `trimLeft`, `trimRight`.
pub(super) fn trim(input: &[u8], left: bool, right: bool, out: &mut Vec<u8>) -> Applied {
    let mut rest = input;
    while let [first, tail @ ..] = rest
        && left
        && is_space(*first)
    {
        rest = tail;
    }
    while let [head @ .., last] = rest
        && right
        && is_space(*last)
    {
        rest = head;
    }
    if rest.len() == input.len() {
        return Applied::Unchanged;
    }
    out.extend_from_slice(rest);
    Applied::Changed
}
