//! PCRE2 (8 bit), the library that both engines compile their regular expressions with.

mod expression;

#[allow(missing_docs, unreachable_pub, non_camel_case_types, non_upper_case_globals, clippy::all)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/pcre2.rs"));
}

use std::fmt;
use std::ops::BitOr;
use std::ptr::{self, NonNull};

use expression::Code;
pub use expression::{Expression, Room, Search};

/// How a pattern is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options(u32);

impl Options {
    /// Letters match in capitals and small.
    pub const CASELESS: Self = Self(sys::PCRE2_CASELESS);
    /// `$` matches at the very end only.
    pub const DOLLAR_ENDONLY: Self = Self(sys::PCRE2_DOLLAR_ENDONLY);
    /// `.` matches a line feed as well.
    pub const DOTALL: Self = Self(sys::PCRE2_DOTALL);
    /// `^` and `$` match at each line.
    pub const MULTILINE: Self = Self(sys::PCRE2_MULTILINE);
}

impl BitOr for Options {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Why a pattern is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// The byte of the pattern where the compiler gave up, from 0.
    pub offset: usize,
    /// The library's text.
    pub cause: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.cause, self.offset)
    }
}

impl std::error::Error for CompileError {}

impl CompileError {
    fn no_memory(offset: usize) -> Self {
        Self { offset, cause: "no memory".to_owned() }
    }
}

/// Whether the pattern compiles, as bytes.
///
/// # Errors
/// When it does not.
pub fn check(pattern: &[u8], options: Options) -> Result<(), CompileError> {
    compile(pattern, options).map(drop)
}

/// Whether a line feed alone ends a line, as PCRE2 is built by default: `^`, `$` and `.` depend on it.
#[must_use]
pub fn lines_end_with_line_feed() -> bool {
    let mut newline: u32 = 0;
    // SAFETY: for this question the library writes one number of 32 bits.
    unsafe { sys::pcre2_config_8(sys::PCRE2_CONFIG_NEWLINE, (&raw mut newline).cast()) };
    newline == sys::PCRE2_NEWLINE_LF
}

fn compile(pattern: &[u8], options: Options) -> Result<Code, CompileError> {
    let (mut code, mut offset) = (0, 0);
    // SAFETY: the pattern is as many live bytes as the call is told, the two numbers are live, and no context is given.
    let compiled = unsafe {
        sys::pcre2_compile_8(
            pattern.as_ptr(),
            pattern.len(),
            options.0,
            &mut code,
            &mut offset,
            ptr::null_mut(),
        )
    };
    NonNull::new(compiled).map(Code).ok_or_else(|| CompileError { offset, cause: text(code) })
}

/// The library's text for an error.
fn text(code: i32) -> String {
    let mut buffer = [0; 256];
    // SAFETY: the buffer has as many bytes as the call is told.
    let length = unsafe { sys::pcre2_get_error_message_8(code, buffer.as_mut_ptr(), buffer.len()) };
    // Negative: the text was cut, or there is none.
    let text = usize::try_from(length).ok().and_then(|length| buffer.get(..length));
    text.map_or_else(|| format!("error {code}"), |text| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bytes_and_errors_have_their_place() {
        assert_eq!(check(b"(?i)a[\xff-\xff]b{2,}", Options::DOTALL | Options::MULTILINE), Ok(()));
        assert_eq!(check(b"", Options::default()), Ok(()));
        let error = check(b"(attack", Options::DOTALL).unwrap_err();
        assert_eq!(error.to_string(), "missing closing parenthesis at byte 7");
        assert_eq!(check(b"a)", Options::default()).unwrap_err().offset, 1);
    }
}
