//! Which rules matched in a transaction.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Exception, sys, try_call};

/// Matches kept of one transaction; those above are counted.
const MAX_MATCHES: usize = 64;

/// Rules of which the ids are kept. The Core Rule Set has 640 of them.
const MAX_RULES: usize = 1024;

/// Bytes kept of each text of a match. A rule's `logdata` may quote as much of the request as it likes.
const MAX_TEXT: usize = 512;

/// One rule that matched and has the `log` action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Its id.
    pub rule: i64,
    /// Its phase, 1 to 5.
    pub phase: i32,
    /// Whether it intervened: never in detection only.
    pub disruptive: bool,
    /// Whether its action is `drop`.
    pub drops: bool,
    /// 0 (emergency) to 7 (debug), if it has one.
    pub severity: Option<u8>,
    /// The file that it stands in.
    pub file: Vec<u8>,
    /// The line in that file.
    pub line: i32,
    /// `msg`, macros expanded: it may hold bytes of the request's.
    pub message: Vec<u8>,
    /// `logdata`, macros expanded: it may hold bytes of the request's.
    pub data: Vec<u8>,
    /// Its tags, separated by commas.
    pub tags: Vec<u8>,
}

/// The matches of one transaction, in the order in which they happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// The first of them.
    pub kept: Vec<Match>,
    /// How many more there were.
    pub dropped: u64,
    /// The rules of all of them, each once.
    pub rules: Vec<i64>,
}

impl Matches {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len() + usize::try_from(self.dropped).unwrap_or(usize::MAX)
    }

    fn push(&mut self, rule: i64, found: impl FnOnce() -> Match) {
        // A rule that matches in several places comes once for each.
        if self.rules.len() < MAX_RULES && !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
        if self.kept.len() < MAX_MATCHES {
            self.kept.push(found());
        } else {
            self.dropped += 1;
        }
    }
}

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
