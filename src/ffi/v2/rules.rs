//! The engine and its rules.

use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Mutex, Once, PoisonError};

use super::{Error, sys, try_call};
use crate::ffi::rules::{RuleEngine, RuleSettings};

/// Ruleset that were loaded. The engine has no way to give their memory back.
#[derive(Debug)]
pub struct Ruleset(NonNull<sys::ms2_rules>);

// SAFETY: the engine's configuration is not tied to the thread that made it.
unsafe impl Send for Ruleset {}

// SAFETY: after loading, which needs `&mut`, transactions on several threads only read it, as they do in Apache's
// multi-processing modules with threads.
unsafe impl Sync for Ruleset {}

/// Whether the engine was initialised in this process: it can be once.
static INITIALISED: Mutex<bool> = Mutex::new(false);

impl Ruleset {
    /// No rules yet; initialises the engine where that has not been done. `name` is the program's in audit logs.
    pub fn new(name: &CStr) -> Result<Self, Error> {
        let mut initialised = INITIALISED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*initialised {
            // SAFETY: not called before in this process, nor in one that it was forked from; the name is terminated
            // and copied.
            try_call(|error| unsafe { sys::ms2_init(name.as_ptr(), error) })?;
            *initialised = true;
        }
        // SAFETY: the engine is initialised, and the lock keeps others from using its memory pool.
        let rules = unsafe { sys::ms2_rules_new() };
        NonNull::new(rules).map(Self).ok_or_else(|| Error("no memory for rules".to_owned()))
    }

    /// Readies this process for transactions; needed in each before its first, and after a fork.
    pub fn begin_process(&self) {
        static BEGUN: Once = Once::new();
        // SAFETY: there are rules, so the engine was initialised; `Once` keeps other threads waiting.
        BEGUN.call_once(|| unsafe { sys::ms2_begin_process() });
    }

    /// Adds the directives of a file and of those that it includes. Where directives of several files say different
    /// things, the last word counts. The rules of a file that is built in stand in a file without a name.
    pub fn add_file(&mut self, path: &CStr, is_built_in: bool) -> Result<(), Error> {
        // The engine loads into one memory pool.
        let _lock = INITIALISED.lock().unwrap_or_else(PoisonError::into_inner);
        let (raw, path) = (self.0.as_ptr(), path.as_ptr());
        // SAFETY: the rules are live and not shared (`&mut`), the path is terminated and copied.
        try_call(|error| unsafe { sys::ms2_rules_add_file(raw, path, is_built_in.into(), error) }).map(drop)
    }

    /// Some settings.
    #[must_use]
    pub fn settings(&self) -> RuleSettings {
        // SAFETY: the rules are live; nothing loads while `&self` is held.
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

    /// The ids of the rules of all phases, 0 for one without, those of a chain one after the other; no markers.
    #[must_use]
    pub fn loaded(&self) -> Vec<i64> {
        let mut rules = Vec::<i64>::new();
        let context = (&raw mut rules).cast::<c_void>();
        // SAFETY: the rules are live; `visit` gets the list that it expects, which nobody else uses during the call.
        unsafe { sys::ms2_rules_each(self.0.as_ptr(), Some(visit), context) };
        rules
    }

    pub(super) fn raw(&self) -> *mut sys::ms2_rules {
        self.0.as_ptr()
    }
}

/// Called by the shim for each rule.
///
/// # Safety
/// `context` is a live list that nobody else uses.
unsafe extern "C" fn visit(context: *mut c_void, rule: i64) {
    // A panic must not run into C: the rule is left out instead.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as promised by the caller.
        let rules = unsafe { &mut *context.cast::<Vec<i64>>() };
        rules.push(rule);
    }));
}
