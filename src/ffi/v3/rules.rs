//! Initialising the library, and loading rules into it.

use std::collections::HashMap;
use std::ffi::{CStr, CString, NulError, c_void};
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use super::output::captured;
use super::{Exception, compiled_version, sys, try_call};
use crate::ffi::callback::Callback;
use crate::ffi::rules::{RuleEngine, RuleSettings};

/// libmodsecurity with the rules that were loaded into it.
///
/// Loading takes `&mut self`, as it changes what transactions read, and a lock, as the library's parser has static
/// state.
#[derive(Debug)]
pub struct Ruleset {
    library: NonNull<sys::ModSecurity>,
    rules: NonNull<sys::RulesSet>,
    /// The tags of rules of which the library reports none, separated by commas, by the rules' ids.
    tags: HashMap<i64, Vec<u8>>,
}

// SAFETY: both are C++ objects on the heap, with nothing of the thread that made them.
unsafe impl Send for Ruleset {}

// SAFETY: after loading, which needs `&mut`, transactions on several threads only read the rules. The collections in
// memory, which they do change, are locked by the library. libmodsecurity's connector for nginx shares both objects in
// the same way.
unsafe impl Sync for Ruleset {}

/// Why rules could not be loaded.
#[derive(Debug)]
pub enum RulesError {
    /// The library found something wrong; its text names file, line and column.
    Rules(Exception),
    /// The library skipped this text, which it did not understand, and went on.
    Skipped(Vec<u8>),
    /// The library's output, in which skipped text shows, could not be captured.
    Output(io::Error),
    /// The text has a zero byte, where the library would silently end.
    ZeroByte(NulError),
    /// The library is not the one that the program was compiled for.
    Version {
        /// The version that the library reports.
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
            Self::ZeroByte(error) => write!(f, "zero byte at offset {}", error.nul_position()),
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

impl std::error::Error for RulesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rules(exception) => Some(exception),
            Self::Output(error) => Some(error),
            Self::ZeroByte(error) => Some(error),
            Self::Skipped(_) | Self::Version { .. } | Self::Init => None,
        }
    }
}

impl From<NulError> for RulesError {
    fn from(error: NulError) -> Self {
        Self::ZeroByte(error)
    }
}

impl Ruleset {
    /// The library without rules. `connector` is the program's name in audit logs.
    ///
    /// # Errors
    /// [`RulesError::Init`], or [`RulesError::Version`] when the installed library is not the one that the program was
    /// compiled for.
    pub fn new(connector: &CStr) -> Result<Self, RulesError> {
        // SAFETY: neither call has preconditions; each returns a new object or NULL.
        let (library, rules) = unsafe { (sys::msc_init(), sys::msc_create_rules_set()) };
        let (Some(library), Some(rules)) = (NonNull::new(library), NonNull::new(rules)) else {
            return Err(RulesError::Init);
        };
        let engine = Self { library, rules, tags: HashMap::new() };
        engine.check_version()?;
        // SAFETY: the library is live, and it copies the terminated string.
        unsafe {
            sys::msc_set_connector_info(library.as_ptr(), connector.as_ptr());
            sys::mss_silence(library.as_ptr());
        }
        Ok(engine)
    }

    /// Checks the version of the installed library: the shim reads C++ objects, whose layout differs between versions.
    fn check_version(&self) -> Result<(), RulesError> {
        // SAFETY: the library is live, and keeps the terminated string that it returns.
        let who = unsafe { CStr::from_ptr(sys::msc_who_am_i(self.library.as_ptr())) };
        // The text is like "ModSecurity v3.0.9 (Linux)".
        let who = who.to_string_lossy();
        let found = who.split_whitespace().nth(1).unwrap_or(&who).trim_start_matches('v');
        if found == compiled_version() {
            return Ok(());
        }
        Err(RulesError::Version { found: found.to_owned() })
    }

    /// Adds the directives of a file and of the files that it includes.
    ///
    /// # Errors
    /// [`RulesError::Rules`] when the library refuses a directive, [`RulesError::Skipped`] when it would go on without
    /// a part of one, [`RulesError::Output`] when that cannot be watched.
    pub fn add_file(&mut self, path: &CStr) -> Result<(), RulesError> {
        // SAFETY: the rules are live and not shared (`&mut`), and the path is a terminated string.
        complete(|error| unsafe { sys::mss_rules_add_file(self.rules.as_ptr(), path.as_ptr(), error) })
    }

    /// Adds directives; `name` stands for the file's name in messages.
    ///
    /// # Errors
    /// As those of [`Ruleset::add_file`], and [`RulesError::ZeroByte`].
    pub fn add(&mut self, directives: &str, name: &str) -> Result<(), RulesError> {
        let (directives, name) = (CString::new(directives)?, CString::new(name)?);
        // SAFETY: the rules are live and not shared (`&mut`), and both strings are terminated.
        complete(|error| unsafe {
            sys::mss_rules_add(self.rules.as_ptr(), directives.as_ptr(), name.as_ptr(), error)
        })
    }

    /// Adds the tags of rules of which the library reports none: of a rule with `multiMatch` it forgets them. Separated by
    /// commas, by the rules' ids.
    pub fn set_tags(&mut self, tags: HashMap<i64, Vec<u8>>) {
        self.tags = tags;
    }

    /// The tags of a rule of which the library reports none.
    pub(super) fn tags(&self, rule: i64) -> Option<&[u8]> {
        self.tags.get(&rule).map(Vec::as_slice)
    }

    /// Returns the settings that the program looks at.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn settings(&self) -> Result<RuleSettings, Exception> {
        let mut settings = sys::mss_settings { engine: 0, request_body_access: 0, response_body_access: 0 };
        // SAFETY: the rules are live, loading needs `&mut`, so nothing changes them during the call, and `settings` is
        // valid for the write.
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

    /// Returns the ids of the rules of all phases, without markers; 0 for a rule without one. Links of a chain follow one
    /// another.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn loaded(&self) -> Result<Vec<i64>, Exception> {
        let mut callback = Callback::new(Vec::<i64>::new());
        let context = callback.context();
        // SAFETY: the rules are live; `visit` gets the `Callback<Vec<i64>>` that it expects, which lives until
        // the call has returned and which nobody else uses meanwhile.
        let listed =
            try_call(|error| unsafe { sys::mss_rules(self.rules.as_ptr(), Some(visit), context, error) });
        let rules = callback.finish();
        listed.map(|_| rules)
    }

    /// The library as the shim takes it.
    pub(super) fn library(&self) -> *mut sys::ModSecurity {
        self.library.as_ptr()
    }

    /// The rules as the shim takes them.
    pub(super) fn rules(&self) -> *mut sys::RulesSet {
        self.rules.as_ptr()
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

/// Held while rules are loaded: the library's parser has static state, and standard output is redirected.
static LOADING: Mutex<()> = Mutex::new(());

/// Loads rules with `load`, and returns the text that the library has skipped as an error.
fn complete(load: impl FnOnce(*mut sys::mss_error) -> i32) -> Result<(), RulesError> {
    let _lock = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    let (loaded, printed) = captured(|| try_call(load)).map_err(RulesError::Output)?;
    loaded.map_err(RulesError::Rules)?;
    match printed.trim_ascii() {
        [] => Ok(()),
        skipped => Err(RulesError::Skipped(skipped.to_vec())),
    }
}

impl Drop for Ruleset {
    fn drop(&mut self) {
        // SAFETY: both are live until here and freed once. Each transaction holds an `Arc` of this, so none is left.
        unsafe {
            sys::msc_rules_cleanup(self.rules.as_ptr());
            sys::msc_cleanup(self.library.as_ptr());
        }
    }
}
