//! What the library prints while it loads rules.
//!
//! Its scanner (flex) copies input that no rule of its grammar matches to standard output and goes on: of
//! `SecRulez …` it prints `z` and loads a `SecRule`. So what it prints is what it did not understand.

use std::fs::File;
use std::io::{self, Read, Seek};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{dup, dup2_stdout};

use super::sys;

/// Runs `call` and gives what was printed to standard output meanwhile.
///
/// The whole process's standard output is elsewhere for that time, so no other thread may be printing.
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
    // SAFETY: no preconditions.
    unsafe { sys::mss_flush_output() }
}
