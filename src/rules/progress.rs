//! What is being loaded at the moment: a process loads one set of rules after the other, and when that stands still, the
//! operator must know at which file.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

/// The number of the step, and what it reads.
static STEP: Mutex<(u64, String)> = Mutex::new((0, String::new()));

/// Notes that the next thing to be read is `what`.
pub fn begin(what: impl Display) {
    let mut step = STEP.lock().unwrap_or_else(PoisonError::into_inner);
    *step = (step.0 + 1, what.to_string());
}

/// Returns the number of the step at hand, and what it reads.
#[must_use]
pub fn current() -> (u64, String) {
    STEP.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
