//! What an engine tells of the rules that were loaded into it.

/// `SecRuleEngine`, as the loaded rules leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleEngine {
    /// Rules are evaluated and deny.
    On,
    /// Rules are evaluated and logged, and never deny.
    DetectionOnly,
    /// Nothing is evaluated, or no file says.
    Off,
}

/// How the loaded directives leave some settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSettings {
    /// `SecRuleEngine`.
    pub engine: RuleEngine,
    /// `SecRequestBodyAccess`.
    pub request_body_access: bool,
    /// `SecResponseBodyAccess`.
    pub response_body_access: bool,
}

/// A loaded rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedRule {
    /// Its id; 0 without one.
    pub rule: i64,
    /// It is of the phase that follows the request's body.
    pub of_body: bool,
    /// It is a link of a chain, and not the first.
    pub is_chained: bool,
    /// The file, or the name that was given for it.
    pub file: Vec<u8>,
    /// A line of the directive, from 1.
    pub line: usize,
}
