//! Finds the files that an `Include` names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};

use crate::rules::version::EngineVersion;

/// How the engines match patterns: case counts, and a wildcard matches neither a slash nor the dot of a hidden file.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files that `Include pattern` in the file `including` names, in alphabetical order; empty when there are none.
pub(super) fn files(pattern: &str, including: &Path, version: EngineVersion) -> Vec<PathBuf> {
    let beside = including.with_file_name("").join(pattern);
    match version {
        EngineVersion::V2 => match is_wildcard(pattern) {
            true => matching(&beside).into_iter().flat_map(within).collect(),
            false => vec![beside],
        },
        // ModSecurity 3 looks in the working folder first, then in the folder of the including file.
        EngineVersion::V3 => {
            let candidates = [PathBuf::from(pattern), beside];
            let found = candidates.into_iter().map(|path| match path.exists() {
                true => vec![path],
                false => matching(&path),
            });
            found.into_iter().find(|files| !files.is_empty()).unwrap_or_default()
        }
    }
}

/// Whether ModSecurity 2 takes the argument of `Include` for a pattern, not for the name of one file.
pub(super) fn is_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// The files and folders that match a pattern.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let found = pattern.to_str().and_then(|pattern| glob_with(pattern, MATCHING).ok());
    // A path that cannot be examined is returned all the same: reading it later reports why.
    let path = |entry: glob::GlobResult| entry.unwrap_or_else(|error| error.path().to_owned());
    found.into_iter().flatten().map(path).collect()
}

/// All files in a folder and its subfolders; the path itself when it is not a folder.
fn within(path: PathBuf) -> Vec<PathBuf> {
    let Ok(entries) = path.read_dir() else { return vec![path] };
    let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names.into_iter().flat_map(|name| within(path.join(name))).collect()
}
