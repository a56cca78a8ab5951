//! Which variables of `TX` anybody reads: what nobody reads need not be known.

use super::model::{Item, Link, Rule};
use super::tx::group;

/// All reads of the rules that a request meets.
#[derive(Debug, Default)]
pub(super) struct Readers {
    names: Vec<String>,
    patterns: Vec<String>,
    reads_all: bool,
}

/// What the agent itself reads: the score of the answer.
pub(in crate::screen) const SCORES: [&str; 2] = ["blocking_inbound_anomaly_score", "anomaly_score"];

impl Readers {
    pub(super) fn of(items: &[Item]) -> Self {
        let mut readers = Self::default();
        readers.names.extend(SCORES.map(str::to_owned));
        let rules = items.iter().filter_map(|item| match item {
            Item::Rule(rule) => Some(rule),
            Item::Marker(_) => None,
        });
        rules.filter(|rule| matches!(rule.phase, 1 | 2 | 5)).for_each(|rule| readers.rule(rule));
        readers
    }

    fn rule(&mut self, rule: &Rule) {
        rule.links.iter().for_each(|link| self.link(link));
    }

    fn link(&mut self, link: &Link) {
        for target in link.targets.iter().filter(|target| target.name.eq_ignore_ascii_case("TX")) {
            match (&target.expression, target.selector.as_str()) {
                _ if target.is_excluded => {}
                (Some(expression), _) => self.patterns.push(expression.clone()),
                (None, "") => self.reads_all = true,
                (None, name) => self.names.push(name.to_ascii_lowercase()),
            }
        }
        if let Some(operator) = &link.operator {
            self.macros(&operator.argument);
        }
        for action in ["setvar", "ctl", "skipAfter"] {
            link.values(action).for_each(|value| self.macros(value));
        }
        // A sum reads what it adds to.
        for value in link.values("setvar") {
            if let Some((name, _)) = value.split_once("=+").or_else(|| value.split_once("=-")) {
                let name = name.trim_start_matches('!').to_ascii_lowercase();
                self.names.extend(name.strip_prefix("tx.").map(str::to_owned));
            }
        }
    }

    fn macros(&mut self, text: &str) {
        for behind in text.split("%{").skip(1) {
            let name = behind.split('}').next().unwrap_or_default().to_ascii_lowercase();
            if let Some(name) = name.strip_prefix("tx.").or_else(|| name.strip_prefix("tx:")) {
                self.names.push(name.to_owned());
            }
        }
    }

    /// Whether somebody may read this variable.
    pub(super) fn read(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.reads_all
            || group(&name).is_some()
            || self.names.contains(&name)
            || self.patterns.iter().any(|pattern| may_match(pattern, &name))
    }

    /// Whether somebody may read a variable whose name begins like this.
    pub(super) fn read_prefix(&self, prefix: &str) -> bool {
        let prefix = prefix.to_ascii_lowercase();
        self.reads_all
            || self.names.iter().any(|name| name.starts_with(&prefix))
            || self.patterns.iter().any(|pattern| may_match_beginning(pattern, &prefix))
    }
}

/// Whether this selector may match the name.
pub(super) fn may_match(pattern: &str, name: &str) -> bool {
    let caseless =
        regex_lite::RegexBuilder::new(pattern).case_insensitive(true).dot_matches_new_line(true).build();
    // What is not understood here may match anything.
    caseless.map_or(true, |caseless| caseless.is_match(name))
}

/// Whether this selector may match a name that begins like this.
pub(super) fn may_match_beginning(pattern: &str, prefix: &str) -> bool {
    let Some(anchored) = pattern.strip_prefix('^') else { return true };
    let end =
        anchored.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(anchored.len());
    let (literal, behind) = anchored.split_at_checked(end).unwrap_or_default();
    // What follows may make its last letter optional.
    let literal = match behind.is_empty() {
        true => literal,
        false => literal.get(..literal.len().saturating_sub(1)).unwrap_or_default(),
    };
    if anchored.contains('|') {
        return true;
    }
    let literal = literal.to_ascii_lowercase();
    literal.starts_with(prefix) || prefix.starts_with(&literal)
}
