//! Numbers with a range.

use std::fmt::Display;
use std::str::FromStr;

use super::BadOption;

/// A number from `min` to `max`; `option` is named in the error.
pub(super) fn parse<T>(option: &str, word: &str, min: T, max: T) -> Result<T, BadOption>
where
    T: FromStr + PartialOrd + Display,
{
    let number = word.parse().ok().filter(|number| (&min..=&max).contains(&number));
    number.ok_or_else(|| BadOption(format!("{option}: {word:?} is not a number from {min} to {max}")))
}
