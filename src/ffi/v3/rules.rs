//! The library and its rules.

use std::ffi::{CStr, CString, NulError, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::output::captured;
use super::{Exception, compiled_version, sys, try_call};
use crate::ffi::rules::{RuleEngine, RuleSettings};

/// libmodsecurity with the rules that were loaded into it.
///
/// Loading is not thread-safe in the library (its parser has static state), so it takes `&mut self`; inspecting only
/// reads.
#[derive(Debug)]
pub struct Ruleset {
    library: NonNull<sys::ModSecurity>,
    rules: NonNull<sys::RulesSet>,
}

// SAFETY: neither object is tied to the thread that made it.
unsafe impl Send for Ruleset {}

// SAFETY: after loading, which needs `&mut`, transactions on several threads only read the rules; what they change (the
// in-memory collections) is locked by the library. This is how libmodsecurity's own server connectors share both.
unsafe impl Sync for Ruleset {}

/// Why rules could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// The library found something wrong; its text names file, line and column.
    Rules(Exception),
    /// The library skipped this text, which it did not understand, and went on.
    Skipped(Vec<u8>),
    /// What the library prints could not be watched.
    Output(String),
    /// The text has a zero byte, where the library would silently end.
    ZeroByte(usize),
    /// The library is not the one that the program was compiled for.
    Version {
        /// What the library calls itself.
        found: String,
    },
    /// The library could not be initialised.
    Init,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules(exception) => exception.fmt(f),
            Self::Skipped(text) => {
                write!(
                    f,
                    "the engine does not understand \"{}\" and would go on without it",
                    text.escape_ascii()
                )
            }
            Self::Output(error) => write!(f, "cannot watch the engine's output: {error}"),
            Self::ZeroByte(position) => write!(f, "zero byte at offset {position}"),
            Self::Version { found } => {
                write!(
                    f,
                    "built for libmodsecurity {}, but the one installed is {found}: rebuild",
                    compiled_version()
                )
            }
            Self::Init => f.write_str("libmodsecurity could not be initialised"),
        }
    }
}

impl std::error::Error for RulesError {}

impl From<NulError> for RulesError {
    fn from(error: NulError) -> Self {
        Self::ZeroByte(error.nul_position())
    }
}

impl Ruleset {
    /// The library, with no rules yet. `connector` names the program in audit logs.
    pub fn new(connector: &str) -> Result<Self, RulesError> {
        let connector = CString::new(connector)?;
        // SAFETY: no preconditions; both return a new object, or NULL.
        let (library, rules) = unsafe { (sys::msc_init(), sys::msc_create_rules_set()) };
        let (Some(library), Some(rules)) = (NonNull::new(library), NonNull::new(rules)) else {
            return Err(RulesError::Init);
        };
        let engine = Self { library, rules };
        engine.check_version()?;
        // SAFETY: the library is live, the string is copied.
        unsafe {
            sys::msc_set_connector_info(library.as_ptr(), connector.as_ptr());
            sys::mss_silence(library.as_ptr());
        }
        Ok(engine)
    }

    /// The shim reads C++ objects, whose layout is that of one version.
    fn check_version(&self) -> Result<(), RulesError> {
        // SAFETY: the library is live and returns a string that it keeps.
        let who = unsafe { CStr::from_ptr(sys::msc_who_am_i(self.library.as_ptr())) };
        // "ModSecurity v3.0.9 (Linux)"
        let who = who.to_string_lossy();
        let found = who.split_whitespace().nth(1).unwrap_or(&who).trim_start_matches('v');
        if found == compiled_version() {
            return Ok(());
        }
        Err(RulesError::Version { found: found.to_owned() })
    }

    /// Adds the directives of a file and of those that it includes.
    pub fn add_file(&mut self, path: &CStr) -> Result<(), RulesError> {
        // SAFETY: the rules are live and not shared (`&mut`), the path is terminated.
        complete(|error| unsafe { sys::mss_rules_add_file(self.rules.as_ptr(), path.as_ptr(), error) })
    }

    /// Adds directives; `name` stands for the file's in messages.
    pub fn add(&mut self, directives: &str, name: &str) -> Result<(), RulesError> {
        let (directives, name) = (CString::new(directives)?, CString::new(name)?);
        // SAFETY: the rules are live and not shared (`&mut`), both strings are terminated.
        complete(|error| unsafe {
            sys::mss_rules_add(self.rules.as_ptr(), directives.as_ptr(), name.as_ptr(), error)
        })
    }

    /// Some settings.
    pub fn settings(&self) -> Result<RuleSettings, Exception> {
        let mut settings = sys::mss_settings { engine: 0, request_body_access: 0, response_body_access: 0 };
        // SAFETY: the rules are live; nothing loads while `&self` is held.
        try_call(|error| unsafe { sys::mss_rules_settings(self.rules.as_ptr(), &mut settings, error) })?;
        Ok(RuleSettings {
            engine: match settings.engine {
                1 => RuleEngine::On,
                0 => RuleEngine::DetectionOnly,
                _ => RuleEngine::Off,
            },
            request_body_access: settings.request_body_access != 0,
            response_body_access: settings.response_body_access != 0,
        })
    }

    /// The ids of the rules of all phases, 0 for one without, those of a chain one after the other; no markers.
    pub fn loaded(&self) -> Result<Vec<i64>, Exception> {
        let mut rules = Vec::<i64>::new();
        let context = (&raw mut rules).cast::<c_void>();
        // SAFETY: the rules are live; `visit` gets the list that it expects, which nobody else uses during the call.
        try_call(|error| unsafe { sys::mss_rules(self.rules.as_ptr(), Some(visit), context, error) })?;
        Ok(rules)
    }

    pub(super) fn library(&self) -> *mut sys::ModSecurity {
        self.library.as_ptr()
    }

    pub(super) fn rules(&self) -> *mut sys::RulesSet {
        self.rules.as_ptr()
    }
}

/// Called by the shim for each rule.
///
/// # Safety
/// `context` is a live list that nobody else uses.
unsafe extern "C" fn visit(context: *mut c_void, rule: i64) {
    // A panic must not run into C++: the rule is left out instead.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as promised by the caller.
        let rules = unsafe { &mut *context.cast::<Vec<i64>>() };
        rules.push(rule);
    }));
}

/// Loads, and makes an error of what the library skipped.
fn complete(load: impl FnOnce(*mut sys::mss_error) -> i32) -> Result<(), RulesError> {
    let (loaded, printed) =
        captured(|| try_call(load)).map_err(|error| RulesError::Output(error.to_string()))?;
    loaded.map_err(RulesError::Rules)?;
    match printed.trim_ascii() {
        [] => Ok(()),
        skipped => Err(RulesError::Skipped(skipped.to_vec())),
    }
}

impl Drop for Ruleset {
    fn drop(&mut self) {
        // SAFETY: both are live, and transactions, which borrow the engine, are gone.
        unsafe {
            sys::msc_rules_cleanup(self.rules.as_ptr());
            sys::msc_cleanup(self.library.as_ptr());
        }
    }
}
