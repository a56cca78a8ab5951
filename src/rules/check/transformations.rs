//! The transformations of each engine (`t:`).

use super::known::{By, By::Both, By::Three, known};
use super::{Cause, Kind};
use crate::rules::version::EngineVersion;

const TRANSFORMATIONS: [(&str, By); 38] = [
    ("base64Decode", Both),
    ("base64DecodeExt", Both),
    ("base64Encode", Both),
    ("cmdLine", Both),
    ("compressWhitespace", Both),
    ("cssDecode", Both),
    ("escapeSeqDecode", Both),
    ("hexDecode", Both),
    ("hexEncode", Both),
    ("htmlEntityDecode", Both),
    ("jsDecode", Both),
    ("length", Both),
    ("lowercase", Both),
    ("md5", Both),
    ("none", Both),
    ("normalisePath", Both),
    ("normalisePathWin", Both),
    ("normalizePath", Both),
    ("normalizePathWin", Both),
    ("parityEven7bit", Both),
    ("parityOdd7bit", Both),
    ("parityZero7bit", Both),
    ("removeComments", Both),
    ("removeCommentsChar", Both),
    ("removeNulls", Both),
    ("removeWhitespace", Both),
    ("replaceComments", Both),
    ("replaceNulls", Both),
    ("sha1", Both),
    ("sqlHexDecode", Both),
    ("trim", Both),
    ("trimLeft", Both),
    ("trimRight", Both),
    ("uppercase", Three),
    ("urlDecode", Both),
    ("urlDecodeUni", Both),
    ("urlEncode", Both),
    ("utf8toUnicode", Both),
];

/// The names that this engine knows.
pub fn names(version: EngineVersion) -> impl Iterator<Item = &'static str> {
    known(TRANSFORMATIONS.iter().copied(), version)
}

pub(super) fn check(name: &str, version: EngineVersion) -> Result<(), Cause> {
    match names(version).any(|known| known.eq_ignore_ascii_case(name)) {
        true => Ok(()),
        false => Err(Cause::unknown(Kind::Transformation, name, names(version))),
    }
}
