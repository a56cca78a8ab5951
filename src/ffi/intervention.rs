//! An engine's intervention: what is to happen to a request or response instead of letting it pass.

/// An intervention as the engine reports it, with values that nothing has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// The HTTP status that the rule sets.
    pub status: i32,
    /// The URL of a `redirect`.
    pub url: Option<Vec<u8>>,
    /// Whether the connection is to be closed without an answer. ModSecurity 2.9 only; libmodsecurity 3 never sets it.
    pub drops: bool,
    /// The text that the engine would log, if it has one.
    pub log: Option<Vec<u8>>,
}
