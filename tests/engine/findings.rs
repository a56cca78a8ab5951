//! Does everything that the engine found reach HAProxy, and the log?

use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::spop::{Ack, Message, hello};
use crate::support::wire::Value;

const RULES: &str = r#"SecRuleEngine On
SecAction "id:1,phase:1,pass,nolog,setvar:tx.anomaly_score=12"
SecRule ARGS_NAMES "@rx ^a" "id:900000002,phase:1,pass,log,msg:'a name',severity:WARNING,tag:'one',tag:'two'"
SecRule ARGS:b "@streq quiet" "id:3,phase:1,pass,nolog,msg:'silent'"
SecRule ARGS:b "@streq deny" "id:4,phase:2,deny,status:451,log,msg:'b is %{ARGS.b}',severity:CRITICAL"
SecRule ARGS:b "@streq long" "id:6,phase:2,pass,log,msg:'%{REQUEST_URI}'"
"#;

fn ask(agent: &Agent, query: &str) -> Ack {
    agent.link().ask(&Message::get("/", Some(query)))
}

fn integer(ack: &Ack, name: &str) -> Option<i64> {
    ack.get(name).map(Value::int)
}

fn string<'a>(ack: &'a Ack, name: &str) -> Option<&'a str> {
    ack.get(name).map(Value::str)
}

#[test]
fn a_denial_tells_its_rules_their_number_the_score_and_the_message() {
    let agent = Agent::with_rules(RULES, &[]);
    let ack = ask(&agent, "a1=x&a2=x&b=deny");
    assert_eq!((ack.code(), string(&ack, "action")), (Some(451), Some("deny")));
    assert_eq!(string(&ack, "rule_ids"), Some("900000002,4"), "each rule once, in their order");
    assert_eq!(integer(&ack, "rules_hit"), Some(2));
    assert_eq!(integer(&ack, "anomaly_score"), Some(12));
    assert_eq!(string(&ack, "msg"), Some("b is deny"));
}

#[test]
fn what_only_detects_is_told_too() {
    let agent = Agent::with_rules(&RULES.replace("SecRuleEngine On", "SecRuleEngine DetectionOnly"), &[]);
    let ack = ask(&agent, "a=x&b=deny");
    assert_eq!((ack.code(), string(&ack, "action")), (Some(0), Some("allow")));
    assert_eq!(string(&ack, "rule_ids"), Some("900000002,4"));
    assert_eq!(string(&ack, "msg"), Some("b is deny"));
}

#[test]
fn a_request_without_matches_says_none() {
    let agent = Agent::with_rules("SecRuleEngine On\nSecAction \"id:1,phase:1,pass,nolog\"\n", &[]);
    let ack = ask(&agent, "a=x");
    assert_eq!((ack.code(), integer(&ack, "rules_hit")), (Some(0), Some(0)));
    for name in ["rule_ids", "anomaly_score", "msg"] {
        assert_eq!(ack.get(name), None, "{name}");
    }
}

#[test]
fn a_rule_that_wants_no_log_is_not_told() {
    let agent = Agent::with_rules(RULES, &[]);
    assert_eq!(string(&ask(&agent, "b=quiet"), "rule_ids"), None);
}

#[test]
fn what_a_message_quotes_of_the_request_cannot_write_lines() {
    let agent = Agent::with_rules(&RULES.replace("REQUEST_URI", "ARGS.b"), &[]);
    let ack = ask(&agent, "b=long%0d%0aSet-Cookie:x");
    assert_eq!(ack.code(), Some(0));
    let rules = RULES.replace("@streq long", "@beginsWith long").replace("REQUEST_URI", "ARGS.b");
    let ack = ask(&Agent::with_rules(&rules, &[]), "b=long%0d%0aSet-Cookie:x%ff");
    assert_eq!(string(&ack, "msg"), Some("long??Set-Cookie:x?"));
}

#[test]
fn in_a_frame_too_small_for_all_of_it_the_verdict_comes_first() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.connect();
    let mut items = hello();
    items[1].1 = Value::Uint32(256);
    link.greet(items);
    let message = Message::get(&format!("/{}", "x".repeat(130)), Some("b=long"));
    let message =
        message.without(&["headers", "unique-id", "src-port", "dst-ip", "dst-port", "body", "body-size"]);
    let ack = link.ask(&message);
    assert_eq!((ack.code(), ack.error()), (Some(0), None));
    assert_eq!(ack.get("msg"), None, "{ack:?}");
    assert!(ack.get("id").is_some());
}

#[test]
fn a_match_is_a_record_of_its_own_in_the_log() {
    let agent = Agent::with_rules(RULES, &[]);
    ask(&agent, "a=x");
    let line = agent.log.wait_for("the match", |line| line.contains(" rule matched, "));
    for (key, expected) in [
        ("rule", "900000002"),
        ("severity", "WARNING"),
        ("message", "\"a name\""),
        ("tags", "\"one,two\""),
        ("client", "192.0.2.7:4711"),
        ("uri", "\"/?a=x\""),
    ] {
        assert!(line.contains(&format!("{key}: {expected}")), "{key} in {line}");
    }
    assert_eq!(value(&line, "id").map(str::len), Some(32));
}

/// libmodsecurity forgets the tags of a rule with `multiMatch`.
#[test]
fn a_rule_that_matches_several_times_has_its_tags_in_the_log() {
    let rules = "SecRuleEngine On\nSecRule ARGS \"@contains bad\" \\\n    \"id:7,phase:1,multiMatch,t:none,t:lowercase,\\\n    \
                 deny,status:403,log,msg:'found',tag:'first/tag',tag:'second tag'\"\n";
    let agent = Agent::with_rules(rules, &[]);
    assert_eq!(agent.link().ask(&Message::get("/", Some("q=BAD"))).code(), Some(403));
    let line =
        agent.log.wait_for("the match", |line| line.contains(" rule matched, ") && line.contains("rule: 7,"));
    assert!(line.contains("tags: \"first/tag,second tag\""), "{line}");
}
