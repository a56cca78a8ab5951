//! Finds the rules that ask whether a body could be parsed. A body that HAProxy had to cut cannot be parsed to its end,
//! which is not the client's fault, so for such a request the variables that these rules look at are hidden from them.
//!
//! The engine does not list the variables of a rule, but the file and line where the rule stands: the text there is
//! searched.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::ffi::rules::LoadedRule;

/// The variable in `TX` from which rules can learn that the body was cut.
pub(super) const TRUNCATED: &CStr = c"body_truncated";

/// The variables that say that a body could not be parsed.
pub(super) const VARIABLES: [&CStr; 4] = [
    c"REQBODY_ERROR",
    c"REQBODY_PROCESSOR_ERROR",
    c"MULTIPART_STRICT_ERROR",
    c"MULTIPART_UNMATCHED_BOUNDARY",
];

/// Returns the ids of those loaded rules that look at one of [`VARIABLES`]. `built_in` is the text of the directives
/// that are in no file.
pub(super) fn find(rules: Vec<LoadedRule>, built_in: &str) -> Vec<i64> {
    let mut files = HashMap::new();
    let mut found = Vec::new();
    for place in rules.into_iter().filter(|rule| rule.of_body && !rule.is_chained) {
        let text = files.entry(place.file).or_insert_with_key(|file| {
            // The built-in directives have a name that is no file. A file that has vanished since loading is treated
            // alike.
            fs::read(Path::new(OsStr::from_bytes(file))).unwrap_or_else(|_| built_in.as_bytes().to_vec())
        });
        let text = String::from_utf8_lossy(text);
        if directive(&text, place.line).any(|line| VARIABLES.iter().any(|name| has_word(line, name))) {
            found.push(place.rule);
        }
    }
    found
}

/// The lines of the directive to which this line (from 1) belongs.
fn directive(text: &str, line: usize) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.lines().collect();
    let goes_on = |index: usize| lines.get(index).is_some_and(|line| line.trim_end().ends_with('\\'));
    let (mut first, mut last) = (line.saturating_sub(1), line.saturating_sub(1));
    while first > 0 && goes_on(first - 1) {
        first -= 1;
    }
    while goes_on(last) {
        last += 1;
    }
    lines.into_iter().skip(first).take(last - first + 1)
}

/// Whether the line names this variable, and not only one whose name begins with it (`REQBODY_ERROR_MSG`).
fn has_word(line: &str, name: &CStr) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    line.to_ascii_uppercase()
        .split(|char: char| !char.is_ascii() || !is_part(char as u8))
        .any(|word| word.as_bytes() == name.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_goes_over_lines() {
        let text = "a\nSecRule X \\\n  Y \\\n  Z\nb\n";
        for line in 2..=4 {
            let lines: Vec<_> = directive(text, line).map(str::trim).collect();
            assert_eq!(lines, ["SecRule X \\", "Y \\", "Z"], "{line}");
        }
        assert_eq!(directive(text, 99).count(), 0);
    }

    #[test]
    fn names_are_whole_words() {
        assert!(has_word("SecRule ARGS|reqbody_error \"!@eq 0\"", c"REQBODY_ERROR"));
        assert!(!has_word("logdata:'%{REQBODY_ERROR_MSG}'", c"REQBODY_ERROR"));
    }
}
