//! The actions in a list of them: `id:5,msg:'a, b'`.

use super::words::{closing, unescaped};
use crate::rules::version::EngineVersion;

/// An action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// Its name, as it is written.
    pub(crate) name: String,
    /// What follows the colon, without quotes; empty without one.
    pub(crate) value: String,
    /// The quote that its value begins with is closed, or there is none.
    pub(crate) is_closed: bool,
}

impl Action {
    /// Whether it has this name, which engines take in capitals and small letters.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The actions in this list. A quote opens a value only right behind the colon. In ModSecurity 2 a `|` or a blank separates
/// them as a comma does.
pub(crate) fn actions(list: &str, version: EngineVersion) -> Vec<Action> {
    let ends_name = |char: char| char == ':' || is_separator(char, version);
    let ends_value = |char: char| is_separator(char, version);
    let mut actions = Vec::new();
    let mut rest = begin(list, version);
    while !rest.is_empty() {
        let (name, behind) = split(rest, ends_name);
        let mut action = Action { name: name.trim_ascii().to_owned(), value: String::new(), is_closed: true };
        rest = match behind.strip_prefix(':') {
            None => behind,
            Some(value) => match value.strip_prefix('\'') {
                Some(quoted) => {
                    let end = closing(quoted, '\'');
                    action.is_closed = end.is_some();
                    let (value, behind) =
                        quoted.split_at_checked(end.unwrap_or(quoted.len())).unwrap_or_default();
                    action.value = match version {
                        EngineVersion::V2 => unescaped(value, Some('\'')),
                        EngineVersion::V3 => value.to_owned(),
                    };
                    // What stands between the closing quote and the next comma is part of no action that an engine knows.
                    behind.strip_prefix('\'').unwrap_or(behind)
                }
                None => {
                    let (value, behind) = split(value, ends_value);
                    action.value = value.trim_ascii().to_owned();
                    behind
                }
            },
        };
        actions.push(action);
        rest = begin(rest, version);
    }
    actions
}

fn is_separator(char: char, version: EngineVersion) -> bool {
    char == ',' || version == EngineVersion::V2 && (char == '|' || char.is_ascii_whitespace())
}

/// The list without the separators before its next action.
fn begin(list: &str, version: EngineVersion) -> &str {
    list.trim_start_matches(|char: char| char.is_ascii_whitespace() || is_separator(char, version))
}

fn split(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(is_end).unwrap_or(text.len())).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &str, version: EngineVersion) -> Vec<(String, String)> {
        actions(list, version).into_iter().map(|action| (action.name, action.value)).collect()
    }

    #[test]
    fn actions_are_between_commas() {
        for version in [EngineVersion::V2, EngineVersion::V3] {
            let found = pairs(r"id:'5', msg:'it\'s a, id:6' ,chain,tag:a/b:c, ", version);
            let message = if version == EngineVersion::V2 { "it's a, id:6" } else { r"it\'s a, id:6" };
            let expected = [("id", "5"), ("msg", message), ("chain", ""), ("tag", "a/b:c")];
            assert!(
                found.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected),
                "{found:?}"
            );
        }
        assert_eq!(pairs("", EngineVersion::V3), []);
        assert_eq!(pairs("tag:o'brien,deny", EngineVersion::V3).len(), 2);
        assert_eq!(pairs("id:1|deny nolog", EngineVersion::V2).len(), 3);
        assert_eq!(pairs("tag:a b|c,deny", EngineVersion::V3).len(), 2);
    }

    #[test]
    fn a_value_is_closed_by_its_quote() {
        let is_closed = |list| actions(list, EngineVersion::V3).iter().all(|action| action.is_closed);
        assert!(is_closed("msg:'a',deny"));
        assert!(!is_closed("msg:'a,deny"));
        assert!(!is_closed(r"msg:'a\',deny"));
    }
}
