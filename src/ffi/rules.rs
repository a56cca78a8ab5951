//! The rules that were loaded into an engine, and some of its settings, for both engines.

/// The value of `SecRuleEngine` after loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleEngine {
    /// Rules are evaluated and deny.
    On,
    /// Rules are evaluated and logged, and never deny.
    DetectionOnly,
    /// No rule is evaluated; also when no file sets `SecRuleEngine`.
    Off,
}

/// Settings after loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSettings {
    /// The value of `SecRuleEngine`.
    pub engine: RuleEngine,
    /// Whether `SecRequestBodyAccess` is on.
    pub request_body_access: bool,
    /// Whether `SecResponseBodyAccess` is on.
    pub response_body_access: bool,
}

/// A loaded rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedRule {
    /// The rule's id; 0 for a rule without one.
    pub rule: i64,
    /// Whether the rule is of phase 2, which follows the request's body.
    pub of_body: bool,
    /// Whether the rule is a link of a chain, and not the first one.
    pub is_chained: bool,
    /// The file in which the rule stands, or the name that was given for its text.
    pub file: Vec<u8>,
    /// A line of the rule's directive, from 1.
    pub line: usize,
}
