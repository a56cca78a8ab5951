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
