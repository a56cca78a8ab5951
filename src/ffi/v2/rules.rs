//! Initialising the engine, and loading rules into it.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::{Mutex, Once, PoisonError};

use super::{Error, sys, try_call};
use crate::ffi::callback::Callback;
use crate::ffi::rules::{RuleEngine, RuleSettings};

/// Loaded rules. They are never freed, as the engine has no call for that.
#[derive(Debug)]
pub struct Ruleset(NonNull<sys::ms2_rules>);

// SAFETY: the rules are plain memory from an APR pool, with nothing of the thread that made them.
unsafe impl Send for Ruleset {}

// SAFETY: after loading, which needs `&mut`, transactions on several threads only read the rules, as they do in Apache
// with its threaded modules (worker, event).
unsafe impl Sync for Ruleset {}

/// Whether the engine is initialised in this process, which must not happen twice. The lock also guards the engine's
/// one memory pool for loading.
static INITIALISED: Mutex<bool> = Mutex::new(false);

impl Ruleset {
    /// An empty set of rules. Initialises the engine at the first call. `name` is the program's name in audit logs.
    ///
    /// # Errors
    /// [`Error::Engine`] when the engine cannot be initialised, or [`Error::NoMemory`].
    pub fn new(name: &CStr) -> Result<Self, Error> {
        let mut initialised = INITIALISED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*initialised {
            // SAFETY: the flag, which a fork copies, shows that this is the first call in this process and its
            // ancestors. The name is a terminated string, which the shim copies.
            try_call(|error| unsafe { sys::ms2_init(name.as_ptr(), error) })?;
            *initialised = true;
        }
        // SAFETY: the engine is initialised, and the lock keeps others from using its memory pool.
        let rules = unsafe { sys::ms2_rules_new() };
        NonNull::new(rules).map(Self).ok_or(Error::NoMemory("rules"))
    }

    /// Readies this process for transactions. To be called in each process before its first transaction, after the
    /// fork; later calls do nothing.
    pub fn begin_process(&self) {
        static BEGUN: Once = Once::new();
        // SAFETY: a `Ruleset` exists only after `ms2_init`; `Once` runs the call once and keeps other threads waiting
        // for it.
        BEGUN.call_once(|| unsafe { sys::ms2_begin_process() });
    }

    /// Adds the directives of a file and of the files that it includes; a later setting replaces an earlier one. The
    /// rules of a built-in file are recorded as those of a file without a name.
    ///
    /// # Errors
    /// [`Error::Engine`] when the engine cannot read the file, or refuses a directive.
    pub fn add_file(&mut self, path: &CStr, is_built_in: bool) -> Result<(), Error> {
        // The engine loads into one memory pool.
        let _lock = INITIALISED.lock().unwrap_or_else(PoisonError::into_inner);
        let (raw, path) = (self.0.as_ptr(), path.as_ptr());
        // SAFETY: the rules are live and not shared (`&mut`), the lock keeps others from the memory pool, and the path
        // is a terminated string, which the engine copies.
        try_call(|error| unsafe { sys::ms2_rules_add_file(raw, path, is_built_in.into(), error) }).map(drop)
    }

    /// Returns the settings that the program looks at.
    #[must_use]
    pub fn settings(&self) -> RuleSettings {
        // SAFETY: the rules are live, and loading needs `&mut`, so nothing changes them during the call.
        let summary = unsafe { sys::ms2_rules_summary(self.0.as_ptr()) };
        RuleSettings {
            engine: match summary.engine {
                1 => RuleEngine::On,
                0 => RuleEngine::DetectionOnly,
                _ => RuleEngine::Off,
            },
            request_body_access: summary.request_body_access != 0,
            response_body_access: summary.response_body_access != 0,
        }
    }

    /// Returns the ids of the rules of all phases, without markers; 0 for a rule without one. Links of a chain follow one
    /// another.
    #[must_use]
    pub fn loaded(&self) -> Vec<i64> {
        let mut callback = Callback::new(Vec::<i64>::new());
        // SAFETY: the rules are live; `visit` gets the `Callback<Vec<i64>>` that it expects, which lives until
        // the call has returned and which nobody else uses meanwhile.
        unsafe { sys::ms2_rules_each(self.0.as_ptr(), Some(visit), callback.context()) };
        callback.finish()
    }

    /// The rules as the shim takes them.
    pub(super) fn raw(&self) -> *mut sys::ms2_rules {
        self.0.as_ptr()
    }
}

/// Called by the shim for each rule.
///
/// # Safety
/// `context` is that of a live `Callback<Vec<i64>>` that nobody else uses.
unsafe extern "C" fn visit(context: *mut c_void, rule: i64) {
    // SAFETY: the caller promises that the context is that of a `Callback<Vec<i64>>`.
    unsafe { Callback::run(context, |rules: &mut Vec<i64>| rules.push(rule)) };
}
