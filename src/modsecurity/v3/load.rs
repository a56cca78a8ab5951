//! Loading rules, and finding out where one is wrong.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::ffi::v3::{self, Ruleset};
use crate::modsecurity::error::LoadError;
use crate::modsecurity::load::CONNECTOR;

/// Loads directives, then files, then more directives.
pub(super) fn load(first: &str, files: &[PathBuf], last: &str) -> Result<Ruleset, LoadError> {
    let failed = |cause: v3::RulesError| LoadError::Engine {
        source: "libmodsecurity".to_owned(),
        cause: cause.to_string(),
    };
    let mut engine = Ruleset::new(CONNECTOR).map_err(failed)?;
    match files {
        [file] if first.is_empty() && last.is_empty() => add_file(&mut engine, file)?,
        files => add_together(&mut engine, first, files, last)?,
    }
    Ok(engine)
}

/// Loads directives, files and more directives as one configuration, so that what comes later counts. Of files that are loaded one by
/// one the engine keeps the settings of the first.
fn add_together(engine: &mut Ruleset, first: &str, files: &[PathBuf], last: &str) -> Result<(), LoadError> {
    let mut text = first.to_owned();
    for path in files {
        let cause = |cause| LoadError::File { path: path.clone(), cause };
        let absolute = std::path::absolute(path).map_err(cause)?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_/.:-".contains(byte);
        if !absolute.as_os_str().as_bytes().iter().all(plain) {
            let said = "its name has characters that the engine cannot include; give a single -f that has Include lines";
            return Err(cause(io::Error::new(io::ErrorKind::InvalidFilename, said)));
        }
        text.push_str(&format!("Include {}\n", absolute.display()));
    }
    text.push_str(last);
    engine.add(&text, "").map_err(|cause: v3::RulesError| {
        // Of included files the engine does not always know the name. One that is wrong is so on its own.
        let alone = |path: &PathBuf| Ruleset::new("").map(|mut engine| add_file(&mut engine, path));
        let wrong = files.iter().find_map(|path| alone(path).ok()?.err());
        wrong
            .unwrap_or_else(|| LoadError::Engine { source: "the rules".to_owned(), cause: cause.to_string() })
    })
}

fn add_file(engine: &mut Ruleset, path: &Path) -> Result<(), LoadError> {
    let failed = |cause: v3::RulesError| LoadError::Engine {
        source: path.display().to_string(),
        cause: cause.to_string(),
    };
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    engine.add_file(&name).map_err(|cause| match cause {
        v3::RulesError::Skipped(_) => LoadError::Engine {
            source: match skipping_line(path) {
                Some(line) => format!("{} line {line}", path.display()),
                None => path.display().to_string(),
            },
            cause: cause.to_string(),
        },
        cause => failed(cause),
    })
}

/// The line with the directive that the engine skips a part of, found by loading one directive after the other into an
/// engine of its own.
fn skipping_line(path: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(path).ok()?;
    let (mut directive, mut first) = (String::new(), 1);
    for (index, line) in text.lines().enumerate() {
        directive.push_str(line);
        directive.push('\n');
        if line.ends_with('\\') {
            continue;
        }
        let loaded = Ruleset::new("").ok()?.add(&directive, "");
        if matches!(loaded, Err(v3::RulesError::Skipped(_))) {
            return Some(first);
        }
        directive.clear();
        first = index + 2;
    }
    None
}
