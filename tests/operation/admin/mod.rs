//! What --admin gives: who may ask, and that each answer is what happened.

mod health;
mod metrics;
mod monitoring;
mod page;

use crate::support::agent::{Agent, rule_file};
use crate::support::http::{self, Response};
use crate::support::log::value;
use crate::support::spop::Message;
use crate::support::wire::text;

/// Rules that deny one word, with a message that is none of HTML's friends, and note another.
const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\n\
    SecRule ARGS:q \"@streq attack\" \"id:1001,phase:1,deny,status:403,log,msg:'<script>alert(1)</script>'\"\n\
    SecRule ARGS:q \"@streq odd\" \"id:1002,phase:1,pass,log,msg:'odd'\"\n";

/// An agent with an admin address.
struct Subject {
    agent: Agent,
    admin: String,
    _rules: tempfile::TempDir,
}

impl Subject {
    fn start(options: &[&str]) -> Self {
        Self::with_application(None, options)
    }

    /// With an application of this name, if one is given, whose rules let all pass.
    fn with_application(name: Option<&str>, options: &[&str]) -> Self {
        let (folder, path) = rule_file("SecRuleEngine On\nSecAction \"id:2001,phase:1,pass,nolog\"\n");
        let application = name.map(|name| format!("{name}={}", path.display()));
        let mut all = vec!["--admin", "127.0.0.1:0", "-n", "2"];
        all.extend(application.iter().flat_map(|application| ["--app", application]));
        all.extend(options);
        let agent = Agent::with_rules(RULES, &all);
        let admin = admin_address(&agent);
        Self { agent, admin, _rules: folder }
    }

    fn get(&self, path: &str) -> Response {
        http::get(&self.admin, path, &[])
    }

    /// Asks the agent about this word.
    fn ask(&self, word: &str) {
        self.agent.link().ask(&Message::get("/shop", Some(&format!("q={word}&password=secret"))));
    }
}

/// A request of this application.
fn of_application(name: &str, mut message: Message) -> Message {
    message.arguments.push(("app".to_owned(), text(name)));
    message
}

/// The admin address, once it is open.
fn admin_address(agent: &Agent) -> String {
    let line = agent.log.wait_for_text("admin address open");
    value(&line, "admin").unwrap().to_owned()
}
