//! Callbacks: Rust that C or C++ calls, once for each thing that it lists.
//!
//! A panic must not unwind through C. The first one is kept beside the value that the callback fills, the rest of the
//! listing is skipped, and the panic goes on in [`Callback::finish`], once the C call has returned. So a listing is
//! whole or it is a panic, which its caller treats as a crash of the engine: a rule match is never silently missing.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A value that a callback fills during one C call, and the panic that ended the filling, if there was one.
pub(super) struct Callback<T> {
    value: T,
    panic: Option<Box<dyn Any + Send>>,
}

impl<T> Callback<T> {
    /// A callback that fills this value.
    pub(super) fn new(value: T) -> Self {
        Self { value, panic: None }
    }

    /// The context pointer for the C call, to be handed to [`Callback::run`] by the C function's callback.
    pub(super) fn context(&mut self) -> *mut c_void {
        (&raw mut *self).cast()
    }

    /// Fills the value with `fill`, from within the C function's callback. After a panic it does nothing.
    ///
    /// # Safety
    /// `context` comes from [`Callback::context`] of a `Callback<T>` with this same `T`, which is live and which nobody
    /// else uses during the C call.
    pub(super) unsafe fn run(context: *mut c_void, fill: impl FnOnce(&mut T)) {
        // SAFETY: the caller promises that the pointer leads to a live `Callback<T>`, and that this is the only
        // reference.
        let callback = unsafe { &mut *context.cast::<Self>() };
        if callback.panic.is_some() {
            return;
        }
        // A value that a panic has left half filled is never seen: `finish` panics instead of returning it.
        let filled = catch_unwind(AssertUnwindSafe(|| fill(&mut callback.value)));
        callback.panic = filled.err();
    }

    /// Returns the value, after the C call has returned.
    ///
    /// # Panics
    /// With the panic that [`Callback::run`] kept.
    pub(super) fn finish(self) -> T {
        match self.panic {
            Some(panic) => resume_unwind(panic),
            None => self.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the shims do: calls `visit` for each number below `count`, and returns how many there were.
    extern "C" fn list(
        count: i32,
        visit: unsafe extern "C" fn(*mut c_void, i32),
        context: *mut c_void,
    ) -> i32 {
        for number in 0..count {
            // SAFETY: the tests pass the context of a live `Callback<Vec<i32>>`, which `visit` expects.
            unsafe { visit(context, number) };
        }
        count
    }

    /// Panics at 3, after it has begun to fill.
    unsafe extern "C" fn visit(context: *mut c_void, number: i32) {
        let fill = |numbers: &mut Vec<i32>| {
            numbers.push(number);
            assert_ne!(number, 3, "three");
        };
        // SAFETY: as `list` promises.
        unsafe { Callback::run(context, fill) };
    }

    #[test]
    fn all_calls_fill_the_value() {
        let mut callback = Callback::new(Vec::<i32>::new());
        assert_eq!(list(3, visit, callback.context()), 3);
        assert_eq!(callback.finish(), [0, 1, 2]);
    }

    #[test]
    fn a_panic_goes_on_once_the_call_has_returned_and_stops_the_filling() {
        let mut callback = Callback::new(Vec::<i32>::new());
        assert_eq!(list(9, visit, callback.context()), 9, "the call returns in spite of the panic");
        assert_eq!(callback.value, [0, 1, 2, 3], "nothing is filled after it");
        let panic = catch_unwind(AssertUnwindSafe(|| callback.finish())).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("three"));
    }
}
