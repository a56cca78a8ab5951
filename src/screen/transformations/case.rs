//! `lowercase`: A to Z, in the C locale.

use super::{Applied, leading};

/// `lowercase`.
pub(super) fn lower(input: &[u8], out: &mut Vec<u8>) -> Applied {
    if leading(input, |byte| !byte.is_ascii_uppercase()) == input.len() {
        return Applied::Unchanged;
    }
    out.extend_from_slice(input);
    out.make_ascii_lowercase();
    Applied::Changed
}
