//! `length` and `sha1`: what says something of a value and keeps nothing of it.

use std::io::Write;

use sha1::{Digest, Sha1};

use super::Applied;

/// `length`: the number of bytes, in decimal digits.
pub(super) fn length(input: &[u8], out: &mut Vec<u8>) -> Applied {
    match write!(out, "{}", input.len()) {
        Ok(()) if out == input => Applied::Unchanged,
        Ok(()) => Applied::Changed,
        Err(_) => Applied::NotModelled,
    }
}

/// `sha1`.
pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) -> Applied {
    out.extend_from_slice(&Sha1::digest(input));
    Applied::Changed
}
