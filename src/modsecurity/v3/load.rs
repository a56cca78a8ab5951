//! Loading rules into libmodsecurity 3, and finding the place of one that the library refuses.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::ffi::v3::{RulesError, Ruleset};
use crate::modsecurity::error::{LibraryError, LoadError};
use crate::modsecurity::load::CONNECTOR;

/// Loads directives, files and more directives, as one configuration.
///
/// # Errors
/// When a file cannot be handed to the library, or the library refuses what it read.
pub(super) fn load(first: &str, files: &[PathBuf], last: &str) -> Result<Ruleset, LoadError> {
    let mut rules = Ruleset::new(CONNECTOR).map_err(|error| refused("libmodsecurity", error))?;
    match files {
        [file] if first.is_empty() && last.is_empty() => add_file(&mut rules, file)?,
        files => add_together(&mut rules, first, files, last)?,
    }
    Ok(rules)
}

/// The library's refusal to load `what`.
fn refused(what: &str, error: RulesError) -> LoadError {
    LoadError::Engine { what: what.to_owned(), cause: LibraryError::V3Rules(error) }
}

/// Loads directives, files and more directives as one configuration, so that a later setting replaces an earlier one. Where files
/// are loaded in calls of their own, the library keeps the settings of the first.
fn add_together(rules: &mut Ruleset, first: &str, files: &[PathBuf], last: &str) -> Result<(), LoadError> {
    let mut text = first.to_owned();
    for path in files {
        let cause = |cause| LoadError::File { path: path.clone(), cause };
        let absolute = std::path::absolute(path).map_err(cause)?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_/.:-".contains(byte);
        if !absolute.as_os_str().as_bytes().iter().all(plain) {
            let advice = "its name has characters that the engine cannot include; give a single -f that has Include lines";
            return Err(cause(io::Error::new(io::ErrorKind::InvalidFilename, advice)));
        }
        text.push_str(&format!("Include {}\n", absolute.display()));
    }
    text.push_str(last);
    rules.add(&text, "").map_err(|error| {
        // The library does not always name the included file that is wrong. Each file is tried alone: the one that
        // fails alone too gives the better message.
        let alone = |path: &PathBuf| Ruleset::new(c"").map(|mut rules| add_file(&mut rules, path));
        let wrong = files.iter().find_map(|path| alone(path).ok()?.err());
        wrong.unwrap_or_else(|| refused("the rules", error))
    })
}

fn add_file(rules: &mut Ruleset, path: &Path) -> Result<(), LoadError> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|error| LoadError::File { path: path.to_owned(), cause: error.into() })?;
    rules.add_file(&name).map_err(|error| {
        let line = match &error {
            RulesError::Skipped(_) => skipping_line(path),
            _ => None,
        };
        match line {
            Some(line) => refused(&format!("{} line {line}", path.display()), error),
            None => refused(&path.display().to_string(), error),
        }
    })
}

/// The line of the directive of which the library skips a part, found by loading each directive into an empty rule set.
fn skipping_line(path: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(path).ok()?;
    let (mut directive, mut first) = (String::new(), 1);
    for (index, line) in text.lines().enumerate() {
        directive.push_str(line);
        directive.push('\n');
        if line.ends_with('\\') {
            continue;
        }
        let loaded = Ruleset::new(c"").ok()?.add(&directive, "");
        if matches!(loaded, Err(RulesError::Skipped(_))) {
            return Some(first);
        }
        directive.clear();
        first = index + 2;
    }
    None
}
