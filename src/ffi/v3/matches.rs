//! Which rules matched in a transaction.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Exception, sys, try_call};
use crate::ffi::matches::{MAX_TEXT, Match, Matches};

/// Reads the matches of a transaction, without the first `skip`.
///
/// # Safety
/// `transaction` is live, and no call into it runs.
pub(super) unsafe fn read(transaction: *mut sys::Transaction, skip: usize) -> Result<Matches, Exception> {
    let mut matches = Matches::default();
    let context = (&raw mut matches).cast::<c_void>();
    // SAFETY: the transaction is live, as promised by the caller; `visit` gets the `Matches` that it expects, which
    // nobody else uses during the call.
    try_call(|error| unsafe { sys::mss_matches(transaction, skip, Some(visit), context, error) })?;
    Ok(matches)
}

/// Called by the shim for each match.
///
/// # Safety
/// `context` is a live `Matches` that nobody else uses; `found` and the bytes that it points to live during the call.
unsafe extern "C" fn visit(context: *mut c_void, found: *const sys::mss_match) {
    // A panic must not run into C++: the match is lost instead.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as promised by the caller.
        let (matches, found) = unsafe { (&mut *context.cast::<Matches>(), &*found) };
        matches.push(found.rule, || Match {
            rule: found.rule,
            phase: found.phase,
            disruptive: found.disruptive != 0,
            drops: found.drops != 0,
            severity: u8::try_from(found.severity).ok(),
            line: found.line,
            // SAFETY: as promised by the caller, these point to live bytes.
            file: unsafe { copy(found.file) },
            // SAFETY: as above.
            message: unsafe { copy(found.message) },
            // SAFETY: as above.
            data: unsafe { copy(found.data) },
            // SAFETY: as above.
            tags: unsafe { copy(found.tags) },
        });
    }));
}

/// Copies at most [`MAX_TEXT`] bytes.
///
/// # Safety
/// `bytes` is empty, or points to as many live bytes as it says.
pub(super) unsafe fn copy(bytes: sys::mss_bytes) -> Vec<u8> {
    if bytes.start.is_null() {
        return Vec::new();
    }
    // SAFETY: as promised by the caller; cutting only shortens.
    unsafe { std::slice::from_raw_parts(bytes.start.cast::<u8>(), bytes.length.min(MAX_TEXT)) }.to_vec()
}
