//! Regular expressions, compiled as the engine will compile them. libmodsecurity 3 takes one that does not compile, and
//! it never matches.

use super::Cause;
use crate::ffi::pcre2::{self, Options};

/// Bytes of the expression that an error shows, before the place where it is wrong.
const SHOWN: usize = 40;

/// Checks the expression of `owner`.
pub(super) fn check(owner: &str, expression: &str, options: Options) -> Result<(), Cause> {
    pcre2::check(expression.as_bytes(), options).map_err(|error| {
        let start = error.offset.saturating_sub(SHOWN);
        let before = expression.as_bytes().get(start..error.offset).unwrap_or_default();
        let dots = if start > 0 { "…" } else { "" };
        Cause::Expression {
            owner: owner.to_owned(),
            error: error.to_string(),
            before: format!("{dots}{}", String::from_utf8_lossy(before)),
        }
    })
}
