//! `lowercase`: A to Z, in the C locale.

use super::Applied;

/// `lowercase`.
pub(super) fn lower(input: &[u8], out: &mut Vec<u8>) -> Applied {
    if !input.iter().any(u8::is_ascii_uppercase) {
        return Applied::Unchanged;
    }
    out.extend_from_slice(input);
    out.make_ascii_lowercase();
    Applied::Changed
}
