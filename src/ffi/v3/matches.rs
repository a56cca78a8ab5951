//! Reads the rules that matched in a transaction.

use std::ffi::c_void;

use super::{Exception, sys, try_call};
use crate::ffi::callback::Callback;
use crate::ffi::matches::{MAX_TEXT, Match, Matches};

/// Reads the matches of a transaction, without the first `skip`.
///
/// # Errors
/// When the library throws a C++ exception.
///
/// # Safety
/// `transaction` is live, and no other call uses it.
pub(super) unsafe fn read(transaction: *mut sys::Transaction, skip: usize) -> Result<Matches, Exception> {
    let mut callback = Callback::new(Matches::default());
    let context = callback.context();
    // SAFETY: the transaction is live, as promised by the caller; `visit` gets the `Callback<Matches>` that it expects,
    // which lives until the call has returned and which nobody else uses meanwhile.
    let listed =
        try_call(|error| unsafe { sys::mss_matches(transaction, skip, Some(visit), context, error) });
    let matches = callback.finish();
    listed.map(|_| matches)
}

/// Called by the shim for each match.
///
/// # Safety
/// `context` is that of a live `Callback<Matches>` that nobody else uses; `found` and the bytes that it points to live
/// during the call.
unsafe extern "C" fn visit(context: *mut c_void, found: *const sys::mss_match) {
    let push = |matches: &mut Matches| {
        // SAFETY: the caller promises that the pointer is valid during the call.
        let found = unsafe { &*found };
        // SAFETY: the caller promises that these point to live bytes, or have a start of NULL.
        let text = |bytes| unsafe { copy(bytes) };
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

/// Copies at most [`MAX_TEXT`] bytes.
///
/// # Safety
/// The start of `bytes` is NULL or that of live bytes, `length` of them.
pub(super) unsafe fn copy(bytes: sys::mss_bytes) -> Vec<u8> {
    if bytes.start.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller promises `length` live bytes, and no more than these are read.
    unsafe { std::slice::from_raw_parts(bytes.start.cast::<u8>(), bytes.length.min(MAX_TEXT)) }.to_vec()
}
