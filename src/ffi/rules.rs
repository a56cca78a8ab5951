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
