//! ModSecurity 2.9, standalone.
//!
//! [`Ruleset`] are shared by all threads once they are loaded; they live as long as the process. A [`Transaction`] is one
//! request's way through the phases, on one thread, in the memory of an [`Arena`].

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

/// What the engine says when it gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Makes one call of the shim, with room for its error; gives what it returns, which is not negative.
fn try_call(call: impl FnOnce(*mut sys::ms2_error) -> i32) -> Result<i32, Error> {
    let mut error = sys::ms2_error { text: [0; 512] };
    match call(&mut error) {
        failed if failed < 0 => {
            let bytes: Vec<u8> =
                error.text.iter().map(|&char| char as u8).take_while(|&byte| byte != 0).collect();
            Err(Error(String::from_utf8_lossy(&bytes).trim().to_owned()))
        }
        done => Ok(done),
    }
}

fn view(bytes: &[u8]) -> sys::ms2_bytes {
    sys::ms2_bytes { start: bytes.as_ptr().cast::<c_char>(), length: bytes.len() }
}

/// Copies at most so many bytes; `None` when there are none at all.
///
/// # Safety
/// `bytes` starts at NULL, or points to as many live bytes as it says.
unsafe fn copy(bytes: sys::ms2_bytes, most: usize) -> Option<Vec<u8>> {
    if bytes.start.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller; cutting only shortens.
    Some(unsafe { std::slice::from_raw_parts(bytes.start.cast::<u8>(), bytes.length.min(most)) }.to_vec())
}
