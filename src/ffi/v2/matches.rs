//! Reads the rules that matched in a transaction.

use std::ffi::c_void;

use super::{copy, sys};
use crate::ffi::callback::Callback;
use crate::ffi::matches::{MAX_TEXT, Match, Matches};

/// Reads the matches of a transaction, without the first `skip`.
///
/// # Safety
/// `transaction` is live, and no other call uses it.
pub(super) unsafe fn read(transaction: *const sys::ms2_transaction, skip: usize) -> Matches {
    let mut callback = Callback::new(Matches::default());
    // SAFETY: the transaction is live, as promised by the caller; `visit` gets the `Callback<Matches>` that it expects,
    // which lives until the call has returned and which nobody else uses meanwhile.
    unsafe { sys::ms2_matches(transaction, skip, Some(visit), callback.context()) };
    callback.finish()
}

/// Called by the shim for each match.
///
/// # Safety
/// `context` is that of a live `Callback<Matches>` that nobody else uses; `found` and the bytes that it points to live
/// during the call.
unsafe extern "C" fn visit(context: *mut c_void, found: *const sys::ms2_match) {
    let push = |matches: &mut Matches| {
        // SAFETY: the caller promises that the pointer is valid during the call.
        let found = unsafe { &*found };
        // SAFETY: the caller promises that these point to live bytes, or have a start of NULL.
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
    };
    // SAFETY: the caller promises that the context is that of a `Callback<Matches>`.
    unsafe { Callback::run(context, push) };
}
