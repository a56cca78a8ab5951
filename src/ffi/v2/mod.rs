//! ModSecurity 2.9, standalone: without Apache, whose records and pools the C files beside this one make.
//!
//! All threads share a [`Ruleset`] once it is loaded; it lives until the process ends. A [`Transaction`] takes one
//! request and its response through the phases, on one thread, in the memory of an [`Arena`].

pub mod injection;
mod matches;
mod rules;
mod transaction;

#[allow(missing_docs, unreachable_pub, non_camel_case_types, non_upper_case_globals, clippy::all)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/modsecurity2.rs"));
}

use std::ffi::c_char;
use std::fmt;

pub use rules::Ruleset;
pub use transaction::{Arena, Transaction};

/// The version of ModSecurity that was built into this program, like `2.9.13`.
#[must_use]
pub fn version() -> &'static str {
    env!("MODSECURITY2_VERSION")
}

/// Why a call of the engine failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The engine refused or gave up; the text is the engine's.
    Engine(String),
    /// The engine could not allocate this object.
    NoMemory(&'static str),
    /// A text for the engine has a zero byte. The engine works with C strings and would take the text to end there.
    ZeroByte,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(text) => f.write_str(text),
            Self::NoMemory(object) => write!(f, "no memory for {object}"),
            Self::ZeroByte => f.write_str("a zero byte, at which the engine would silently end"),
        }
    }
}

impl std::error::Error for Error {}

/// Makes one call of the shim with room for an error text, and turns a negative number into that error. Returns the
/// number otherwise.
fn try_call(call: impl FnOnce(*mut sys::ms2_error) -> i32) -> Result<i32, Error> {
    let mut error = sys::ms2_error { text: [0; 512] };
    match call(&mut error) {
        failed if failed < 0 => {
            let bytes: Vec<u8> =
                error.text.iter().map(|&char| char as u8).take_while(|&byte| byte != 0).collect();
            Err(Error::Engine(String::from_utf8_lossy(&bytes).trim().to_owned()))
        }
        done => Ok(done),
    }
}

/// The bytes as the shim takes them: a pointer that is valid as long as `bytes` is borrowed.
fn view(bytes: &[u8]) -> sys::ms2_bytes {
    sys::ms2_bytes { start: bytes.as_ptr().cast::<c_char>(), length: bytes.len() }
}

/// Copies at most `most` bytes; `None` when the start is NULL.
///
/// # Safety
/// The start of `bytes` is NULL or that of live bytes, `length` of them.
unsafe fn copy(bytes: sys::ms2_bytes, most: usize) -> Option<Vec<u8>> {
    if bytes.start.is_null() {
        return None;
    }
    // SAFETY: the caller promises `length` live bytes, and no more than these are read.
    Some(unsafe { std::slice::from_raw_parts(bytes.start.cast::<u8>(), bytes.length.min(most)) }.to_vec())
}
