//! Loading rules into ModSecurity 2.9.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::ffi::v2::{Error, Ruleset};
use crate::modsecurity::error::{LibraryError, LoadError};
use crate::modsecurity::load::CONNECTOR;

/// Loads directives, files and more directives, one after the other: with this engine, later settings replace earlier
/// ones.
///
/// # Errors
/// When a file or the built-in settings cannot be handed to the engine, or the engine refuses what it read.
pub(super) fn load(first: &str, files: &[PathBuf], last: &str) -> Result<Ruleset, LoadError> {
    let mut rules = Ruleset::new(CONNECTOR).map_err(|error| refused("the engine", error))?;
    add_text(&mut rules, first)?;
    for path in files {
        let file_error = |cause| LoadError::File { path: path.clone(), cause };
        // The engine resolves a relative path against a folder of its own choice, not against the working directory.
        let absolute = std::path::absolute(path).map_err(file_error)?;
        let name = c_path(&absolute).map_err(file_error)?;
        rules.add_file(&name, false).map_err(|error| refused(&path.display().to_string(), error))?;
    }
    add_text(&mut rules, last)?;
    Ok(rules)
}

/// The engine's refusal to load `what`.
fn refused(what: &str, error: Error) -> LoadError {
    LoadError::Engine { what: what.to_owned(), cause: LibraryError::V2(error) }
}

/// Loads built-in directives, if there are any. The engine reads files only, so they become a file in memory.
fn add_text(rules: &mut Ruleset, directives: &str) -> Result<(), LoadError> {
    if directives.is_empty() {
        return Ok(());
    }
    let file = || -> io::Result<(File, CString)> {
        let mut file = File::from(memfd_create(c"directives", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(directives.as_bytes())?;
        let name = c_path(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))?;
        Ok((file, name))
    };
    let (_file, name) = file().map_err(LoadError::BuiltIn)?;
    rules.add_file(&name, true).map_err(|error| refused("the built-in settings", error))
}

/// The path as the C string that the engine takes.
fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
