//! Which rules matched in a transaction.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{copy, sys};
use crate::ffi::matches::{MAX_TEXT, Match, Matches};

/// Reads the matches of a transaction, without the first `skip`.
///
/// # Safety
/// `transaction` is live, and no call into it runs.
pub(super) unsafe fn read(transaction: *const sys::ms2_transaction, skip: usize) -> Matches {
    let mut matches = Matches::default();
    let context = (&raw mut matches).cast::<c_void>();
    // SAFETY: the transaction is live, as promised by the caller; `visit` gets the `Matches` that it expects, which
    // nobody else uses during the call.
    unsafe { sys::ms2_matches(transaction, skip, Some(visit), context) };
    matches
}

/// Called by the shim for each match.
///
/// # Safety
/// `context` is a live `Matches` that nobody else uses; `found` and the bytes that it points to live during the call.
unsafe extern "C" fn visit(context: *mut c_void, found: *const sys::ms2_match) {
    // A panic must not run into C: the match is lost instead.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as promised by the caller.
        let (matches, found) = unsafe { (&mut *context.cast::<Matches>(), &*found) };
        // SAFETY: as promised by the caller, all these point to live bytes.
        let text = |bytes| unsafe { copy(bytes, MAX_TEXT) }.unwrap_or_default();
        matches.push(found.rule, || Match {
            rule: found.rule,
            phase: found.phase,
            disruptive: found.disruptive != 0,
            drops: found.drops != 0,
            severity: u8::try_from(found.severity).ok(),
            line: found.line,
            file: text(found.file),
            message: text(found.message),
            data: text(found.data),
            tags: text(found.tags),
        });
    }));
}
