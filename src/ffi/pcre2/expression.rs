//! Regular expressions that are compiled once and searched for often, as the engines do: with JIT where the processor has
//! it, and without when its stack is too small.

use std::ops::Range;
use std::ptr::{self, NonNull};

use super::{CompileError, Options, compile, sys};

/// A compiled expression, which any number of threads may search for at once.
pub struct Expression {
    code: Code,
    limits: Context,
    has_jit: bool,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// The expression matches.
    Found,
    /// It does not.
    NotFound,
    /// Nobody knows: the search reached a limit, or failed.
    GivenUp,
}

impl Expression {
    /// Compiles the expression. A search gives up after `match_limit` steps of backtracking, and without JIT at
    /// `depth_limit` as well; `None` is the library's own limit.
    ///
    /// # Errors
    /// When the expression does not compile, or there is no memory.
    pub fn compile(
        pattern: &[u8],
        options: Options,
        match_limit: Option<u32>,
        depth_limit: Option<u32>,
    ) -> Result<Self, CompileError> {
        let code = compile(pattern, options)?;
        // SAFETY: the code is live, and nobody else has it yet. A failure leaves the code as it was.
        let has_jit = unsafe { sys::pcre2_jit_compile_8(code.0.as_ptr(), sys::PCRE2_JIT_COMPLETE) } == 0;
        // SAFETY: no general context is given, which is allowed.
        let context = NonNull::new(unsafe { sys::pcre2_match_context_create_8(ptr::null_mut()) });
        let limits = Context(context.ok_or_else(|| CompileError::no_memory(pattern.len()))?);
        if let Some(limit) = match_limit {
            // SAFETY: the context is live, and nobody else has it yet.
            unsafe { sys::pcre2_set_match_limit_8(limits.0.as_ptr(), limit) };
        }
        if let Some(limit) = depth_limit {
            // SAFETY: as above.
            unsafe { sys::pcre2_set_depth_limit_8(limits.0.as_ptr(), limit) };
        }
        Ok(Self { code, limits, has_jit })
    }

    /// Whether the expression matches anywhere in `subject`.
    #[must_use]
    pub fn search(&self, room: &mut Room, subject: &[u8]) -> Search {
        match self.execute(room, subject) {
            // Zero: the match has more groups than there is room for.
            0.. => Search::Found,
            sys::PCRE2_ERROR_NOMATCH => Search::NotFound,
            _ => Search::GivenUp,
        }
    }

    /// Like [`Expression::search`], and where the groups matched: the whole match first, `None` for a group that took no
    /// part, and no more than [`Room::GROUPS`].
    pub fn captures(
        &self,
        room: &mut Room,
        subject: &[u8],
        groups: &mut Vec<Option<Range<usize>>>,
    ) -> Search {
        groups.clear();
        let found = self.execute(room, subject);
        let count = match found {
            0 => Room::GROUPS,
            1.. => usize::try_from(found).unwrap_or(0).min(Room::GROUPS),
            sys::PCRE2_ERROR_NOMATCH => return Search::NotFound,
            _ => return Search::GivenUp,
        };
        // SAFETY: the data is live and was made with room for as many pairs, of which the search has set `count`.
        let pairs = unsafe {
            std::slice::from_raw_parts(sys::pcre2_get_ovector_pointer_8(room.0.as_ptr()), 2 * count)
        };
        groups.extend(pairs.chunks_exact(2).map(|pair| match *pair {
            [start, end] if start <= end && end <= subject.len() => Some(start..end),
            _ => None,
        }));
        Search::Found
    }

    fn execute(&self, room: &mut Room, subject: &[u8]) -> i32 {
        let (code, limits, data) = (self.code.0.as_ptr(), self.limits.0.as_ptr(), room.0.as_ptr());
        let mut found = sys::PCRE2_ERROR_JIT_STACKLIMIT;
        if self.has_jit {
            // SAFETY: code and limits are live and only read, the data is live and ours alone, and the subject has as
            // many bytes as the call is told.
            found =
                unsafe { sys::pcre2_jit_match_8(code, subject.as_ptr(), subject.len(), 0, 0, data, limits) };
        }
        if found == sys::PCRE2_ERROR_JIT_STACKLIMIT {
            // SAFETY: as above.
            found = unsafe {
                sys::pcre2_match_8(code, subject.as_ptr(), subject.len(), 0, sys::PCRE2_NO_JIT, data, limits)
            };
        }
        found
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("has_jit", &self.has_jit).finish_non_exhaustive()
    }
}

// SAFETY: once compiled, neither the code nor the limits change, and PCRE2 only reads them in a search (pcre2api(3),
// MULTITHREADING).
unsafe impl Send for Expression {}
// SAFETY: as above.
unsafe impl Sync for Expression {}

/// Where a search leaves its result; one serves any number of expressions, one after the other.
#[derive(Debug)]
pub struct Room(NonNull<sys::pcre2_match_data_8>);

impl Room {
    /// Groups that it has room for, the whole match being the first.
    pub const GROUPS: usize = 32;

    /// Allocates room.
    ///
    /// # Panics
    /// When there is no memory, as any allocation does.
    #[must_use]
    #[allow(clippy::panic)]
    pub fn new() -> Self {
        // SAFETY: no general context is given, which is allowed.
        let data = unsafe { sys::pcre2_match_data_create_8(32, ptr::null_mut()) };
        NonNull::new(data).map_or_else(|| panic!("no memory for a search"), Self)
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the call that made it gave it to nobody else.
        unsafe { sys::pcre2_match_data_free_8(self.0.as_ptr()) };
    }
}

// SAFETY: it is memory of its own, which no thread is tied to.
unsafe impl Send for Room {}

/// Code that PCRE2 has compiled.
pub(super) struct Code(pub(super) NonNull<sys::pcre2_code_8>);

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: the call that made it gave it to nobody else.
        unsafe { sys::pcre2_code_free_8(self.0.as_ptr()) };
    }
}

struct Context(NonNull<sys::pcre2_match_context_8>);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the call that made it gave it to nobody else.
        unsafe { sys::pcre2_match_context_free_8(self.0.as_ptr()) };
    }
}
