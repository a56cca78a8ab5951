//! Does the log keep bodies, cookies and credentials to itself, except at level debug?

use std::fs;

use crate::support::agent::Agent;
use crate::support::spop::Message;
use crate::support::waiting::wait_until;
use crate::support::wire::{Value, headers, text};

/// A rule for each place that has a secret, with the data as the Core Rule Set writes it, and one with data of another form.
const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_COOKIES:session "@contains secret" "id:1,phase:1,pass,log,logdata:'Matched Data: %{MATCHED_VAR} found within %{MATCHED_VAR_NAME}: %{MATCHED_VAR}'"
SecRule REQUEST_HEADERS:Authorization "@contains secret" "id:2,phase:1,pass,log,logdata:'Matched Data: %{MATCHED_VAR} found within %{MATCHED_VAR_NAME}: %{MATCHED_VAR}'"
SecRule ARGS:password "@contains secret" "id:3,phase:2,pass,log,logdata:'Matched Data: %{MATCHED_VAR} found within %{MATCHED_VAR_NAME}: %{MATCHED_VAR}'"
SecRule REQUEST_BODY "@contains secret" "id:4,phase:2,pass,log,logdata:'%{MATCHED_VAR}'"
SecRule REQUEST_HEADERS:User-Agent "@contains robot" "id:5,phase:1,deny,log,logdata:'Matched Data: %{MATCHED_VAR} found within %{MATCHED_VAR_NAME}: %{MATCHED_VAR}'"
"#;

fn request(agent: &str) -> Message {
    let body = "password=the-secret";
    let list = [
        ("host", "shop.test"),
        ("user-agent", agent),
        ("cookie", "session=the-secret"),
        ("authorization", "Basic the-secret"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-length", "19"),
    ];
    let message = Message::get("/", None).with("method", text("POST")).with("headers", headers(&list));
    message.with("body-size", Value::Int64(19)).with("body", Value::Binary(body.as_bytes().to_vec()))
}

#[test]
fn what_rules_quote_of_secrets_is_logged_at_level_debug_alone() {
    let folder = tempfile::tempdir().unwrap();
    let debug = folder.path().join("debug.log");
    let target = format!("{},level=debug", debug.display());
    let agent = Agent::with_rules(RULES, &["--log", "stderr", "--log", &target]);
    let mut link = agent.link();
    assert_eq!(link.ask(&request("browser")).code(), Some(0));
    assert_eq!(link.ask(&request("robot")).code(), Some(403));
    // The last rule quotes no secret.
    let line =
        agent.log.wait_for("rule 5", |line| line.contains(" rule matched, ") && line.contains(" rule: 5,"));
    assert!(line.contains("data: \"Matched Data: robot found within REQUEST_HEADERS:"), "{line}");
    for rule in 1..=4 {
        let line = agent.log.wait_for("the rule", |line| line.contains(&format!(" rule: {rule},")));
        assert!(line.contains("data_withheld: true"), "{line}");
        wait_until("its data", || {
            let log = fs::read_to_string(&debug).unwrap();
            log.lines().any(|line| {
                let is_own =
                    line.contains(" DEBG data of a match, ") && line.contains(&format!(" rule: {rule},"));
                is_own && line.contains("the-secret")
            })
        });
    }
    assert_eq!(agent.log.lines_with("the-secret"), Vec::<String>::new());
}

/// Nothing is hidden that could not be one.
#[test]
fn the_query_of_a_request_without_secrets_is_logged() {
    let agent = Agent::with_rules(RULES, &[]);
    assert_eq!(agent.link().ask(&Message::get("/", Some("password=a-secret"))).code(), Some(0));
    let line = agent.log.wait_for_text(" rule matched, ");
    assert!(line.contains("data: \"Matched Data: a-secret found within ARGS:password: a-secret\""), "{line}");
}
