//! Loading rules.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::ffi::v2::{Error, Ruleset};
use crate::modsecurity::error::LoadError;
use crate::modsecurity::load::CONNECTOR;

/// Loads directives, then files, then more directives.
pub(super) fn load(first: &str, files: &[PathBuf], last: &str) -> Result<Ruleset, LoadError> {
    let engine = |trouble: Error| failed("the engine", &trouble.0);
    let name = CString::new(CONNECTOR).map_err(|error| failed("the engine", &error.to_string()))?;
    let mut rules = Ruleset::new(&name).map_err(engine)?;
    add_text(&mut rules, first)?;
    for path in files {
        add_file(&mut rules, path, false)?;
    }
    add_text(&mut rules, last)?;
    Ok(rules)
}

fn failed(source: &str, cause: &str) -> LoadError {
    LoadError::Engine { source: source.to_owned(), cause: cause.to_owned() }
}

/// The engine reads files only: the directives become one that nobody else sees.
fn add_text(rules: &mut Ruleset, directives: &str) -> Result<(), LoadError> {
    if directives.is_empty() {
        return Ok(());
    }
    let file = || -> io::Result<File> {
        let mut file = File::from(memfd_create(c"directives", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(directives.as_bytes())?;
        Ok(file)
    };
    let file = file().map_err(|error| failed("the built-in settings", &error.to_string()))?;
    add_file(rules, Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), true)
}

fn add_file(rules: &mut Ruleset, path: &Path, is_built_in: bool) -> Result<(), LoadError> {
    let source = path.display().to_string();
    // What the engine is given must not depend on the folder that it takes for its own.
    let absolute = std::path::absolute(path).map_err(|error| failed(&source, &error.to_string()))?;
    let name =
        CString::new(absolute.as_os_str().as_bytes()).map_err(|error| failed(&source, &error.to_string()))?;
    rules.add_file(&name, is_built_in).map_err(|trouble| failed(&source, &trouble.0))
}
