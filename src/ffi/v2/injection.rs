//! The libinjection of ModSecurity 2.9, which is a part of it.

use super::{sys, view};

/// Whether libinjection takes `value` for an injection of SQL, or its parser fails, as the engine's operator asks.
#[must_use]
pub fn is_sqli(value: &[u8]) -> bool {
    // SAFETY: the bytes are live, and the call keeps nothing.
    unsafe { sys::ms2_is_sqli(view(value)) != 0 }
}

/// Whether libinjection takes `value` for a script, or its parser fails, as the engine's operator asks.
#[must_use]
pub fn is_xss(value: &[u8]) -> bool {
    // SAFETY: the bytes are live, and the call keeps nothing.
    unsafe { sys::ms2_is_xss(view(value)) != 0 }
}
