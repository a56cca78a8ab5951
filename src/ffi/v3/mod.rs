//! libmodsecurity 3.
//!
//! A [`Ruleset`] is the library with its rules, which all threads share once the rules are loaded. A [`Transaction`]
//! takes one request and its response through the phases, on one thread. C++ exceptions become [`Exception`]s.

pub mod injection;
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
    // SAFETY: the shim returns a string literal, which is terminated and never freed.
    let version = unsafe { CStr::from_ptr(sys::mss_compiled_version()) };
    version.to_str().unwrap_or("unknown")
}

/// Seeds the library's random numbers, rand(3), from the system's.
///
/// The library marks the sections of an audit record with eight random characters, and seeds rand(3) with the time of
/// its initialisation. Without a new seed all processes that are forked later would use the same characters, and a
/// client that knows them could forge sections. When the system has no random bytes, the old seed stays.
pub fn reseed() {
    // SAFETY: the shim calls getentropy(3) and srand(3), which have no preconditions; glibc locks the state of rand(3).
    unsafe { sys::mss_reseed() }
}

/// Gives the memory that the library has freed back to the system. It takes milliseconds, as malloc looks for all free
/// pages.
pub fn release_memory() {
    // SAFETY: malloc_trim(3) has no preconditions, and moves nothing that is in use.
    unsafe { nix::libc::malloc_trim(0) };
}

/// The text of a C++ exception, or of the library's own report of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception(pub String);

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Exception {}

/// Makes one call of the shim with room for an error text, and turns the returned -1 into that error.
fn try_call(call: impl FnOnce(*mut sys::mss_error) -> i32) -> Result<i32, Exception> {
    let mut error = sys::mss_error { text: [0; 512] };
    match call(&mut error) {
        -1 => Err(text_of(&error)),
        done => Ok(done),
    }
}

/// The error text that the shim has written.
fn text_of(error: &sys::mss_error) -> Exception {
    let bytes: Vec<u8> = error.text.iter().map(|&char| char as u8).take_while(|&byte| byte != 0).collect();
    Exception(String::from_utf8_lossy(&bytes).trim().to_owned())
}
