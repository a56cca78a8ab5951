//! `removeNulls` and `replaceNulls`.

use memchr::memchr;

use super::Applied;

/// `removeNulls`.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> Applied {
    if memchr(0, input).is_none() {
        return Applied::Unchanged;
    }
    out.extend(input.iter().filter(|&&byte| byte != 0));
    Applied::Changed
}

/// `replaceNulls`: by blanks.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> Applied {
    if memchr(0, input).is_none() {
        return Applied::Unchanged;
    }
    out.extend(input.iter().map(|&byte| if byte == 0 { b' ' } else { byte }));
    Applied::Changed
}
