//! With a screen before the engine, HAProxy gets the same variables, and the log says what the screen has proven.

use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::spop::{Ack, Message};
use crate::support::wire::{Value, headers, text};

/// Clean requests and attacks, with and without bodies.
fn requests() -> Vec<Message> {
    let post = |kind: &str, body: &str| {
        let length = body.len().to_string();
        let fields = [
            ("host", "shop.test"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
            ("accept", "*/*"),
            ("cookie", "session=0123456789abcdef; theme=dark"),
            ("content-type", kind),
            ("content-length", &length),
        ];
        Message::get("/order", None)
            .with("method", text("POST"))
            .with("headers", headers(&fields))
            .with("body", Value::Binary(body.as_bytes().to_vec()))
            .with("body-size", Value::Int64(body.len() as i64))
    };
    let form = "application/x-www-form-urlencoded";
    vec![
        Message::get("/", None),
        Message::get("/shop/shoes", Some("size=42&colour=red")),
        Message::get("/shop", Some("q=1%27%20OR%20%271%27=%271")),
        Message::get("/a/../../etc/passwd", None),
        post(form, "name=Anna&comment=The+box+was+fine"),
        post(form, "name=Anna&comment=%3Cscript%3Ealert(1)%3C/script%3E"),
        post("application/json", "{\"name\":\"Anna\",\"size\":42}"),
        post("text/plain", "hello"),
        Message::get("/shop", Some("page=2")),
    ]
}

/// The variables that do not name the transaction, and those that are removed.
fn variables(ack: &Ack) -> (Vec<String>, Vec<String>) {
    let is_told = |name: &str| !matches!(name, "id" | "agent");
    let mut set: Vec<String> = ack
        .set
        .iter()
        .filter(|(name, _)| is_told(name))
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    set.sort();
    let mut unset = ack.unset.clone();
    unset.sort();
    (set, unset)
}

fn answers(agent: &Agent) -> Vec<(Vec<String>, Vec<String>)> {
    let mut link = agent.link();
    requests().iter().map(|request| variables(&link.ask(request))).collect()
}

/// The number that a log line has for this key.
fn number(line: &str, key: &str) -> u64 {
    value(line, key).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {key} in {line}"))
}

#[test]
fn the_answers_are_those_of_the_engine() {
    let expected = answers(&Agent::start(&["-n", "1"]));
    for isolation in ["process", "thread"] {
        for (mode, compared) in [("shadow", true), ("on", false)] {
            let agent = Agent::start(&["-n", "1", "--screen", mode, "--isolation", isolation]);
            assert_eq!(answers(&agent), expected, "{mode} {isolation}");
            let line = agent.log.wait_for_text("requests screened");
            let key = if compared { "proven_and_compared" } else { "proven" };
            // The first line comes while requests are still under way.
            assert!(number(&line, key) + number(&line, "not_proven") > 0, "{line}");
            let (_, log) = agent.stop();
            assert!(!log.iter().any(|line| line.contains("screen was wrong")), "{log:?}");
        }
    }
}

#[test]
fn one_in_as_many_as_are_wanted_is_compared() {
    let agent = Agent::start(&["-n", "1", "--screen", "on", "--screen-sample", "1"]);
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
    let line = agent.log.wait_for_text("requests screened");
    assert_eq!((number(&line, "proven"), number(&line, "proven_and_compared")), (0, 1), "{line}");
}

#[test]
fn the_log_names_the_rule_that_keeps_the_screen_off() {
    let rules = "SecRuleEngine On\nSecAction \"id:1,phase:1,pass,log,msg:'seen'\"\n";
    let agent = Agent::with_rules(rules, &["-n", "1", "--screen", "on"]);
    let ack = agent.link().ask(&Message::get("/", None));
    assert_eq!(ack.get("rule_ids").map(Value::str), Some("1"));
    let line = agent.log.wait_for_text("screen is off for these rules");
    assert!(line.contains(":2: a rule that matches every request"), "{line}");
}

#[test]
fn what_is_proven_is_not_inspected() {
    // libinjection is the engine's, which an engine that is confined must reach.
    let rules = "SecRuleEngine On\nSecRule ARGS \"@rx attack\" \"id:1,phase:2,deny,status:403\"\n\
                 SecRule ARGS \"@detectSQLi\" \"id:2,phase:2,deny,status:403\"\n";
    let agent = Agent::with_rules(rules, &["-n", "1", "--screen", "on", "--screen-sample", "1000000"]);
    let mut link = agent.link();
    assert_eq!(link.ask(&Message::get("/", Some("a=clean"))).code(), Some(0));
    let line = agent.log.wait_for_text("requests screened");
    assert_eq!((number(&line, "proven"), number(&line, "not_proven")), (1, 0), "{line}");
    let denied = link.ask(&Message::get("/", Some("a=an%20attack")));
    assert_eq!((denied.code(), denied.get("rule_ids").map(Value::str)), (Some(403), Some("1")));
}
