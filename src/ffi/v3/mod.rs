//! libmodsecurity 3.
//!
//! [`Ruleset`] is the library with its rules, shared by all threads once the rules are loaded. [`Transaction`] is one
//! request's way through the phases, on one thread. C++ exceptions come back as [`Exception`].

mod matches;
mod output;
mod rules;
mod transaction;

#[allow(missing_docs, unreachable_pub, non_camel_case_types, non_upper_case_globals, clippy::all)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/modsecurity3.rs"));
}

use std::ffi::CStr;
use std::fmt;

pub use rules::{RulesError, Ruleset};
pub use transaction::Transaction;

/// The version of libmodsecurity that this program was compiled for, like `3.0.9`.
#[must_use]
pub fn compiled_version() -> &'static str {
    // SAFETY: the shim returns a string literal.
    let version = unsafe { CStr::from_ptr(sys::mss_compiled_version()) };
    version.to_str().unwrap_or("unknown")
}

/// Gives the library's random numbers a new start.
///
/// It separates the sections of an audit record by eight random characters, of rand(3), which it seeds with the time at
/// which it is initialised: processes that are forked after that would all use the same ones, and a client that knows
/// them could write sections of its own. Where the system has no random bytes, nothing changes.
pub fn reseed() {
    // SAFETY: no preconditions.
    unsafe { sys::mss_reseed() }
}

/// What a C++ exception, or the engine's own error report, said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception(pub String);

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Exception {}

/// Makes one call of the shim, with room for its error, and turns what it returns into a `Result`.
fn try_call(call: impl FnOnce(*mut sys::mss_error) -> i32) -> Result<i32, Exception> {
    let mut error = sys::mss_error { text: [0; 512] };
    match call(&mut error) {
        -1 => Err(text_of(&error)),
        done => Ok(done),
    }
}

/// The text that the shim left.
fn text_of(error: &sys::mss_error) -> Exception {
    let bytes: Vec<u8> = error.text.iter().map(|&char| char as u8).take_while(|&byte| byte != 0).collect();
    Exception(String::from_utf8_lossy(&bytes).trim().to_owned())
}
