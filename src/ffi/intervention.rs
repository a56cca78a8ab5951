//! What an engine does instead of letting a request through.

/// As the engine has it: nothing checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// The status of the rule.
    pub status: i32,
    /// The URL of a `redirect`.
    pub url: Option<Vec<u8>>,
    /// The connection is to be closed without an answer, as far as the engine tells.
    pub drops: bool,
    /// What the engine would log, if it has a text of its own.
    pub log: Option<Vec<u8>>,
}
