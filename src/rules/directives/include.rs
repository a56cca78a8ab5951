//! Which files an `Include` names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};

use crate::rules::version::EngineVersion;

/// What a file is called counts as it is, and what is hidden is not found by chance: as for the engines.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files that `Include pattern` names in the file `including`, in alphabetical order; none: there are none.
pub(super) fn files(pattern: &str, including: &Path, version: EngineVersion) -> Vec<PathBuf> {
    let beside = including.with_file_name("").join(pattern);
    match version {
        EngineVersion::V2 => match is_wildcard(pattern) {
            true => matching(&beside).into_iter().flat_map(within).collect(),
            false => vec![beside],
        },
        // From the working folder first, then from that of the file.
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

/// Whether ModSecurity 2 takes this for a pattern.
pub(super) fn is_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn matching(pattern: &Path) -> Vec<PathBuf> {
    let found = pattern.to_str().and_then(|pattern| glob_with(pattern, MATCHING).ok());
    // What cannot be looked at is there: reading it says why not.
    let path = |entry: glob::GlobResult| entry.unwrap_or_else(|error| error.path().to_owned());
    found.into_iter().flatten().map(path).collect()
}

/// The files in a folder and those in it, or the file itself.
fn within(path: PathBuf) -> Vec<PathBuf> {
    let Ok(entries) = path.read_dir() else { return vec![path] };
    let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names.into_iter().flat_map(|name| within(path.join(name))).collect()
}
