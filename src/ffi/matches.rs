//! Which rules matched in a transaction, whatever the engine.

/// Matches kept of one transaction; those above are counted.
const MAX_MATCHES: usize = 64;

/// Rules of which the ids are kept. The Core Rule Set has 640 of them.
const MAX_RULES: usize = 1024;

/// Bytes kept of each text of a match. A rule's `logdata` may quote as much of the request as it likes.
pub(super) const MAX_TEXT: usize = 512;

/// One rule that matched and has the `log` action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Its id.
    pub rule: i64,
    /// Its phase, 1 to 5.
    pub phase: i32,
    /// Whether it intervened: never in detection only.
    pub disruptive: bool,
    /// Whether its action is `drop`.
    pub drops: bool,
    /// 0 (emergency) to 7 (debug), if it has one.
    pub severity: Option<u8>,
    /// The file that it stands in.
    pub file: Vec<u8>,
    /// The line in that file.
    pub line: i32,
    /// `msg`, macros expanded: it may hold bytes of the request's.
    pub message: Vec<u8>,
    /// `logdata`, macros expanded: it may hold bytes of the request's.
    pub data: Vec<u8>,
    /// Its tags, separated by commas.
    pub tags: Vec<u8>,
}

/// The matches of one transaction, in the order in which they happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// The first of them.
    pub kept: Vec<Match>,
    /// How many more there were.
    pub dropped: u64,
    /// The rules of all of them, each once.
    pub rules: Vec<i64>,
}

impl Matches {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len() + usize::try_from(self.dropped).unwrap_or(usize::MAX)
    }

    pub(super) fn push(&mut self, rule: i64, found: impl FnOnce() -> Match) {
        // A rule that matches in several places comes once for each.
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
