//! The error for a wrong option.

use std::fmt;

/// An option or a variable that cannot be understood, in one line; the program ends with exit status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOption(pub String);

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see --help)", self.0)
    }
}

impl std::error::Error for BadOption {}
