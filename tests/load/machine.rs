//! Who has the machine: one test that measures time, or several that do not.
//!
//! The tests of one program run side by side, and cargo runs one program after the other.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// The machine for one test alone, until the guard is dropped. A test that failed gives it back like any other.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// The machine together with others that share it. No test asks for it twice.
pub fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}
