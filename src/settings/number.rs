//! Option values that are numbers with a range.

use std::fmt::Display;
use std::str::FromStr;

use super::BadOption;

/// Reads a number from `min` to `max`, both included.
///
/// # Errors
/// When `value` is no such number; the error names `option`.
pub(super) fn parse<T>(option: &str, value: &str, min: T, max: T) -> Result<T, BadOption>
where
    T: FromStr + PartialOrd + Display,
{
    let number = value.parse().ok().filter(|number| (&min..=&max).contains(&number));
    number.ok_or_else(|| BadOption(format!("{option}: {value:?} is not a number from {min} to {max}")))
}
