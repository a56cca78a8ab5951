//! The rules that matched in a transaction, for both engines.

/// Matches of one transaction that are kept in full; further ones are counted.
pub(crate) const MAX_MATCHES: usize = 64;

/// Matched rules of one transaction whose ids are kept. The Core Rule Set has 640 rules.
pub(crate) const MAX_RULES: usize = 1024;

/// Bytes kept of each text of a match. A rule's `logdata` may quote as much of the request as it likes.
pub(super) const MAX_TEXT: usize = 512;

/// One rule that matched and has the `log` action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The rule's id.
    pub rule: i64,
    /// The phase in which the rule matched, 1 to 5.
    pub phase: i32,
    /// Whether the rule intervened; with detection only, none does.
    pub disruptive: bool,
    /// Whether the rule's action is `drop`.
    pub drops: bool,
    /// The rule's severity, from 0 (emergency) to 7 (debug), if it has one.
    pub severity: Option<u8>,
    /// The file in which the rule stands.
    pub file: Vec<u8>,
    /// The rule's line in that file.
    pub line: i32,
    /// The rule's `msg`, macros expanded: it may hold bytes of the request.
    pub message: Vec<u8>,
    /// The rule's `logdata`, macros expanded: it may hold bytes of the request.
    pub data: Vec<u8>,
    /// The rule's tags, separated by commas.
    pub tags: Vec<u8>,
}

/// The matches of one transaction, in the order in which they happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// The first matches.
    pub kept: Vec<Match>,
    /// The number of matches that are not kept.
    pub dropped: u64,
    /// The ids of all rules that matched, each once, kept or not.
    pub rules: Vec<i64>,
}

impl Matches {
    /// The number of all matches, kept or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len() + usize::try_from(self.dropped).unwrap_or(usize::MAX)
    }

    /// Adds a match of `rule`; `found` makes it if it is kept.
    pub(super) fn push(&mut self, rule: i64, found: impl FnOnce() -> Match) {
        // A rule that matches in several places has a match for each.
        if self.rules.len() < MAX_RULES && !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
        if self.kept.len() < MAX_MATCHES {
            self.kept.push(found());
        } else {
            self.dropped += 1;
        }
    }
}
