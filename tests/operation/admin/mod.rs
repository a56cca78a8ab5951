//! What --admin gives: who may ask, and that each answer is what happened.

mod health;
mod metrics;
mod monitoring;
mod page;

use crate::support::agent::Agent;
use crate::support::http::{self, Response};
use crate::support::log::value;
use crate::support::spop::Message;

/// Rules that deny one word, with a message that is none of HTML's friends, and note another.
const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\n\
    SecRule ARGS:q \"@streq attack\" \"id:1001,phase:1,deny,status:403,log,msg:'<script>alert(1)</script>'\"\n\
    SecRule ARGS:q \"@streq odd\" \"id:1002,phase:1,pass,log,msg:'odd'\"\n";

/// An agent with an admin address.
struct Subject {
    agent: Agent,
    admin: String,
}

impl Subject {
    fn start(options: &[&str]) -> Self {
        Self::with_rules(RULES, options)
    }

    fn with_rules(rules: &str, options: &[&str]) -> Self {
        let agent = Agent::with_rules(rules, &[&["--admin", "127.0.0.1:0", "-n", "2"], options].concat());
        let admin = admin_address(&agent);
        Self { agent, admin }
    }

    fn get(&self, path: &str) -> Response {
        http::get(&self.admin, path, &[])
    }

    /// Asks the agent about this word.
    fn ask(&self, word: &str) {
        self.agent.link().ask(&Message::get("/shop", Some(&format!("q={word}&password=secret"))));
    }
}

/// The admin address, once it is open.
fn admin_address(agent: &Agent) -> String {
    let line = agent.log.wait_for_text("admin address open");
    value(&line, "admin").unwrap().to_owned()
}
