//! What becomes of a body of which HAProxy sent only the beginning?

use crate::support::agent::Agent;
use crate::support::spop::{Ack, Message};
use crate::support::wire::{Value, headers, text};

/// An operator's rules, with the checks that modsecurity.conf-recommended brings, written over several lines.
const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "^text/xml" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQBODY_ERROR "!@eq 0" \
    "id:200002, phase:2,\
    t:none,log,deny,status:400,msg:'Failed to parse request body.'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
"id:200003,phase:2,t:none,log,deny,status:400"
SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" "id:200004,phase:2,t:none,log,deny,status:400"
SecRule ARGS|XML:/* "@contains attack" "id:3,phase:2,deny,status:403,log"
SecRule TX:body_truncated "@eq 1" "id:4,phase:1,pass,log"
"#;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const XML: &str = "text/xml";
const MULTIPART: &str = "multipart/form-data; boundary=xyzzy";
const PART: &str = "--xyzzy\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";

/// The beginning of a body, of `missing` bytes more.
fn post(kind: &str, body: &str, missing: usize) -> Message {
    let size = body.len() + missing;
    let fields = [("host", "shop.test"), ("content-type", kind), ("content-length", &size.to_string())];
    Message::get("/", None)
        .with("method", text("POST"))
        .with("headers", headers(&fields))
        .with("body", Value::Binary(body.as_bytes().to_vec()))
        .with("body-size", Value::Int64(size as i64))
}

fn ask(agent: &Agent, kind: &str, body: &str, missing: usize) -> Ack {
    agent.link().ask(&post(kind, body, missing))
}

/// Bodies that are cut in the middle, each with the word in a place that was whole by then, or in the value that was cut.
fn cut_bodies(word: &str) -> Vec<(&'static str, String)> {
    vec![
        (FORM, format!("a=b&b={word}")),
        (JSON, format!("{{\"a\": \"b\", \"b\": [1, \"{word}")),
        (XML, format!("<?xml version=\"1.0\"?><a><b>c</b><c>{word}")),
        (MULTIPART, format!("{PART}{word}")),
        (FORM, format!("a={word}&b=unfini")),
        (JSON, format!("{{\"a\": \"{word}\", \"b\": [1, \"unfini")),
        (XML, format!("<?xml version=\"1.0\"?><a><b>{word}</b><c>unfini")),
        (MULTIPART, format!("{PART}{word}\r\n{PART}unfini")),
        (MULTIPART, format!("{PART}{word}\r\n{PART}unfini\r\n--xyz")),
    ]
}

#[test]
fn what_there_is_of_a_cut_body_is_inspected() {
    let agent = Agent::with_rules(RULES, &[]);
    for (kind, body) in cut_bodies("hello") {
        let ack = ask(&agent, kind, &body, 5000);
        assert_eq!((ack.code(), ack.error()), (Some(0), None), "{kind}: denied only for being cut: {ack:?}");
        assert_eq!(ack.get("truncated"), Some(&Value::Bool(true)));
        assert_eq!(ack.get("rule_ids").map(Value::str), Some("4"), "rules do not learn of it: {ack:?}");
    }
    for (kind, body) in cut_bodies("attack") {
        assert_eq!(ask(&agent, kind, &body, 5000).code(), Some(403), "{kind}");
    }
}

#[test]
fn the_built_in_settings_do_the_same() {
    let agent = Agent::start(&[]);
    for (kind, body) in cut_bodies("hello") {
        let ack = ask(&agent, kind, &body, 5000);
        assert_eq!((ack.code(), ack.error()), (Some(0), None), "{kind}: {ack:?}");
    }
    for (kind, body) in cut_bodies("' or 1=1-- -") {
        assert_eq!(ask(&agent, kind, &body, 5000).code(), Some(403), "{kind}");
    }
}

#[test]
fn a_whole_body_that_is_broken_is_denied() {
    let agents = [Agent::with_rules(RULES, &[]), Agent::start(&[])];
    for agent in &agents {
        for (kind, body) in cut_bodies("hello") {
            let code = if kind == FORM { 0 } else { 400 };
            assert_eq!(ask(agent, kind, &body, 0).code(), Some(code), "{kind}: {body}");
        }
    }
}

#[test]
fn deny_denies_it_as_too_large() {
    let agent = Agent::with_rules(RULES, &["--truncated", "deny"]);
    let ack = ask(&agent, FORM, "a=hello", 1);
    assert_eq!((ack.code(), ack.error()), (Some(413), None));
    assert_eq!(ack.get("action").map(Value::str), Some("deny"));
    agent
        .log
        .wait_for("the denial", |line| line.contains(" request denied, ") && line.contains("status: 413"));
    assert_eq!(ask(&agent, FORM, "a=hello", 0).code(), Some(0));
}

#[test]
fn error_says_that_nobody_inspected_it() {
    let agent = Agent::with_rules(RULES, &["--truncated", "error"]);
    let ack = ask(&agent, FORM, "a=hello", 1);
    assert_eq!((ack.code(), ack.error()), (None, Some("truncated")));
    assert_eq!(ask(&agent, FORM, "a=hello", 0).code(), Some(0));
    let agent = Agent::with_rules(RULES, &["--truncated", "error", "--on-error", "deny=413"]);
    let ack = ask(&agent, FORM, "a=hello", 1);
    assert_eq!((ack.code(), ack.error()), (Some(413), Some("truncated")));
}

#[test]
fn any_other_word_is_refused() {
    let output = crate::support::process::run(&["--truncated", "maybe"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--truncated") && said.contains("maybe") && said.contains("inspect"), "{said}");
}
