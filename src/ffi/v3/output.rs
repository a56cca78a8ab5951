//! The library's output while it loads rules.
//!
//! Its scanner (flex) copies input that it does not understand to standard output and goes on: of `SecRulez …` it
//! prints `z` and loads a `SecRule`. So everything that it prints is a part of a directive that it has skipped.

use std::fs::File;
use std::io::{self, Read, Seek};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{dup, dup2_stdout};

use super::sys;

/// Runs `call`. Returns its result, and the bytes that the process has printed to standard output meanwhile.
///
/// Standard output of the whole process is redirected for that time, so no other thread may print.
///
/// # Errors
/// When standard output cannot be redirected or the output not be read.
pub(super) fn captured<T>(call: impl FnOnce() -> T) -> io::Result<(T, Vec<u8>)> {
    flush();
    let mut file = File::from(memfd_create(c"stdout", MFdFlags::MFD_CLOEXEC)?);
    let stdout = dup(io::stdout())?;
    dup2_stdout(&file)?;
    let result = call();
    flush();
    dup2_stdout(&stdout)?;
    let mut printed = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut printed)?;
    Ok((result, printed))
}

fn flush() {
    // SAFETY: flushing streams locks them, and has no preconditions.
    unsafe { sys::mss_flush_output() }
}
