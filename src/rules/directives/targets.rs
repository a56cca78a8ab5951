//! The targets of a rule: `ARGS|!ARGS:a|&REQUEST_HEADERS:/^x-/`.

use super::actions::{Action, actions};
use crate::rules::version::EngineVersion;

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its elements are not looked at (`!`).
    pub(crate) is_excluded: bool,
    /// The elements are counted (`&`).
    pub(crate) is_counted: bool,
    /// The variable, as it is written.
    pub(crate) name: String,
    /// What selects elements, as it is written; empty where nothing does.
    pub(crate) selector: String,
    /// The regular expression that selects elements.
    pub(crate) expression: Option<String>,
}

/// The targets in this list.
pub(crate) fn targets(list: &str, version: EngineVersion) -> Vec<Target> {
    match version {
        // It reads them as it reads actions.
        EngineVersion::V2 => {
            let target = |target: &Action| Target::new(&target.name, &target.value, enclosed(&target.value));
            actions(list, version).iter().map(target).collect()
        }
        EngineVersion::V3 => scan(list),
    }
}

impl Target {
    fn new(name: &str, selector: &str, expression: Option<&str>) -> Self {
        let (is_excluded, is_counted) = (name.starts_with('!'), name.starts_with('&'));
        let name = name.trim_start_matches(['!', '&']);
        // Those of XML are paths.
        let expression = expression.filter(|_| !name.eq_ignore_ascii_case("XML")).map(str::to_owned);
        Self { is_excluded, is_counted, name: name.to_owned(), selector: selector.to_owned(), expression }
    }
}

/// What is between slashes.
fn enclosed(selector: &str) -> Option<&str> {
    selector.strip_prefix('/')?.strip_suffix('/').filter(|expression| !expression.is_empty())
}

/// What ModSecurity 3 finds in the list: of several ways to read a selector, the longest.
fn scan(list: &str) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches(['|', ',']);
        let unsigned = rest.trim_start_matches(['!', '&']);
        let is_letter = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let end = unsigned.find(|char| !is_letter(char)).unwrap_or(unsigned.len());
        let length = rest.len() - unsigned.len() + end;
        let Some((name, behind)) = rest.split_at_checked(length).filter(|(name, _)| !name.is_empty()) else {
            break;
        };
        let selected = behind.strip_prefix([':', '.']).unwrap_or_default();
        let (expression, behind) = match selected {
            "" => (None, behind),
            selector => select(selector),
        };
        let length = selected.len().saturating_sub(behind.len());
        targets.push(Target::new(name, selected.get(..length).unwrap_or_default(), expression));
        // Anything else the engine does not understand, and says so.
        if !behind.starts_with(['|', ',']) {
            break;
        }
        rest = behind;
    }
    targets
}

/// The expression of a selector, if it is one, and what stands behind the selector.
fn select(selector: &str) -> (Option<&str>, &str) {
    let literal = selector.find(['"', '|', ',', '\n', ' ', '\t', '}']).unwrap_or(selector.len());
    let forms = [("/", "/", &[' ', '=', '|', '\t', '"'][..]), ("'/", "/'", &[' ', '=', '\t', '"'])];
    for (open, close, ends) in forms {
        let Some(inside) = selector.strip_prefix(open) else { continue };
        let run = inside.find(ends).unwrap_or(inside.len());
        let last = inside.get(..run).and_then(|run| run.rfind(close)).filter(|length| *length > 0);
        let Some(expression) = last.and_then(|length| inside.get(..length)) else { continue };
        let length = open.len() + expression.len() + close.len();
        if length >= literal {
            return (Some(expression), selector.get(length..).unwrap_or_default());
        }
    }
    (None, selector.get(literal..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str, version: EngineVersion) -> Vec<(String, Option<String>)> {
        targets(list, version).into_iter().map(|target| (target.name, target.expression)).collect()
    }

    fn expect(list: &str, version: EngineVersion, expected: &[(&str, Option<&str>)]) {
        let found = read(list, version);
        let found: Vec<_> =
            found.iter().map(|(name, expression)| (name.as_str(), expression.as_deref())).collect();
        assert_eq!(found, expected, "{list} {version:?}");
    }

    #[test]
    fn targets_are_between_bars() {
        for version in [EngineVersion::V2, EngineVersion::V3] {
            expect(
                "ARGS,!ARGS:a|&REQUEST_HEADERS:/^x-/|TX:'/a|b/'|XML:/*",
                version,
                &[
                    ("ARGS", None),
                    ("ARGS", None),
                    ("REQUEST_HEADERS", Some("^x-")),
                    ("TX", Some("a|b")),
                    ("XML", None),
                ],
            );
            expect("XML://@*|XML:/a/", version, &[("XML", None), ("XML", None)]);
            expect("", version, &[]);
        }
        let target = targets("&ARGS|!X", EngineVersion::V3);
        assert_eq!(
            target.iter().map(|target| (target.is_counted, target.is_excluded)).collect::<Vec<_>>(),
            [(true, false), (false, true)]
        );
    }

    #[test]
    fn modsecurity_3_takes_the_longest_selector() {
        expect("ARGS:/a,b/|TX.x", EngineVersion::V3, &[("ARGS", Some("a,b")), ("TX", None)]);
        expect("ARGS:/a/b|TX", EngineVersion::V3, &[("ARGS", None), ("TX", None)]);
        expect("ARGS:/a=b/", EngineVersion::V3, &[("ARGS", None)]);
        expect("ARGS:/(/", EngineVersion::V3, &[("ARGS", Some("("))]);
        expect("ARSG TX", EngineVersion::V3, &[("ARSG", None)]);
    }
}
