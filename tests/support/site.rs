//! A whole site: an agent with the built-in rules and the Core Rule Set, and HAProxy with the deployed configuration.

use super::agent::Agent;
use super::haproxy::Haproxy;
use std::sync::OnceLock;

/// An agent and the HAProxy in front of it.
pub struct Site {
    pub haproxy: Haproxy,
    pub agent: Agent,
}

impl Site {
    /// Puts HAProxy in front of an agent.
    pub fn new(agent: Agent) -> Self {
        Self { haproxy: Haproxy::start(agent.address()), agent }
    }

    /// A site whose agent has these rules alone.
    pub fn with_rules(rules: &str) -> Self {
        Self::new(Agent::with_rules(rules, &[]))
    }
}

/// The site that the tests of one program share: the agent without `-f`.
pub fn shared() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| Site::new(Agent::start(&[])))
}
