//! Does the agent take the place of every agent in the field, with the HAProxy configuration that was written for that?

use crate::support::agent::Agent;
use crate::support::client::{self, Answer};
use crate::support::haproxy::{Haproxy, patient_spoe_file, repository};
use crate::support::process::signal;
use crate::support::spop::{Ack, Message};
use crate::support::wire::{Frame, NOTIFY, Value, text};

/// An agent behind a HAProxy with one of the configurations in deploy/haproxy.
struct Site {
    agent: Agent,
    haproxy: Haproxy,
    _folder: tempfile::TempDir,
}

impl Site {
    fn start(name: &str, options: &[&str]) -> Self {
        let agent = Agent::start(options);
        let folder = tempfile::tempdir().unwrap();
        let sample = repository(&format!("deploy/haproxy/{name}"));
        let spoe = patient_spoe_file(&sample.join("spoe.conf"), folder.path());
        let environment = [("MODSEC_SPOE_CONF", spoe.to_str().unwrap())];
        let haproxy = Haproxy::start_from(&sample.join("haproxy.cfg"), agent.address(), &environment);
        Self { agent, haproxy, _folder: folder }
    }

    fn curl(&self, target: &str, options: &[&str]) -> Answer {
        client::curl(&["--connect-to", &format!("::{}", self.haproxy.v4)], target, options).0
    }
}

const ATTACK: &str = "id=1'%20OR%20'1'%3D'1";

/// Attacks are denied with 403, what is clean passes, and what nobody inspected gets this status (200: it passes).
fn check(name: &str, uninspected: u16) {
    let site = Site::start(name, &["-n", "1", "--responses", "100"]);
    for _ in 0..3 {
        let clean = site.curl("/search?q=shoes", &[]);
        assert_eq!((clean.status, clean.body.as_str()), (200, "the application"), "{name}: {clean:?}");
        let query = site.curl(&format!("/?{ATTACK}"), &[]);
        assert_eq!(query.status, 403, "{name}: {query:?}");
        let form = site.curl("/", &["-d", ATTACK]);
        assert_eq!(form.status, 403, "{name}: {form:?}");
        let header = site.curl("/", &["-H", "X-Comment: () { :; }; echo pwned"]);
        assert_eq!(header.status, 403, "{name}: {header:?}");
    }
    // These two have no argument for the client's address.
    let has_client = !["c-daemon", "haproxy-ingress-modsecurity"].contains(&name);
    let denied = site.agent.log.lines_with(" request denied, ");
    let client = if has_client { "client: 127.0.0.1:" } else { "client: unknown" };
    assert!(denied.iter().all(|line| line.contains(client)), "{name}: {denied:#?}");
    drop(site);

    let site = Site::start(name, &["-n", "1", "--deadline", "300ms"]);
    signal(site.agent.engines()[0], "STOP");
    let answer = site.curl("/search?q=shoes", &[]);
    assert_eq!(answer.status, uninspected, "{name}: {answer:?}");
}

#[test]
fn c_daemon() {
    check("c-daemon", 200);
}

#[test]
fn c_daemon_with_client() {
    check("c-daemon-with-client", 200);
}

#[test]
fn libmodsecurity_fork() {
    check("libmodsecurity-fork", 200);
}

#[test]
fn haproxy_ingress_modsecurity() {
    check("haproxy-ingress-modsecurity", 200);
}

#[test]
fn haproxy_ingress_coraza() {
    check("haproxy-ingress-coraza", 504);
}

#[test]
fn coraza_early() {
    check("coraza-early", 504);
}

#[test]
fn coraza_spoa() {
    check("coraza-spoa", 504);
}

#[test]
fn go_agent() {
    check("go-agent", 200);
}

#[test]
fn all_samples_are_tested() {
    let (tests, several) = (include_str!("dialects.rs"), include_str!("several_agents.rs"));
    for entry in std::fs::read_dir(repository("deploy/haproxy")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_tested = tests.contains(&format!("check(\"{name}\""))
            || several.contains(&format!("deploy/haproxy/{name}\""));
        assert!(is_tested, "{name} has no test");
    }
}

const RULES: &str = "SecRuleEngine On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html\n\
    SecRule ARGS:q \"@streq bad\" \"id:11,phase:1,deny,status:451,log\"\n\
    SecRule ARGS:q \"@streq away\" \"id:12,phase:1,redirect:http://shop.test/,log\"\n\
    SecRule ARGS:q \"@streq gone\" \"id:13,phase:1,drop,log\"\n\
    SecRule REMOTE_ADDR \"@streq 192.0.2.9\" \"id:14,phase:1,deny,log\"\n\
    SecRule RESPONSE_BODY \"@contains secret\" \"id:15,phase:4,deny,log\"\n";

fn coraza(query: &str) -> Message {
    Message::get("/", Some(query)).named("coraza-req")
}

fn number(ack: &Ack, name: &str) -> Option<i64> {
    ack.get(name).map(Value::int)
}

fn word<'a>(ack: &'a Ack, name: &str) -> Option<&'a str> {
    ack.get(name).map(Value::str)
}

#[test]
fn coraza_reads_action_fail_ruleid_and_a_number_in_error() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    let clean = link.ask(&coraza("q=good"));
    assert_eq!((word(&clean, "action"), number(&clean, "fail")), (Some("allow"), Some(0)));
    assert_eq!(clean.get("error"), None);
    let denied = link.ask(&coraza("q=bad"));
    assert_eq!((word(&denied, "action"), number(&denied, "fail")), (Some("deny"), Some(1)));
    assert_eq!((number(&denied, "status"), number(&denied, "ruleid")), (Some(451), Some(11)));
    let away = link.ask(&coraza("q=away"));
    assert_eq!((word(&away, "action"), word(&away, "data")), (Some("redirect"), Some("http://shop.test/")));
    assert_eq!(word(&link.ask(&coraza("q=gone")), "action"), Some("drop"));
    // What cannot be understood, from a request's message and from a response's.
    for broken in [
        coraza("q=good").with("headers", Value::Null),
        coraza("q=good").without(&["method"]),
        coraza("q=good").named("coraza-res"),
    ] {
        let ack = link.ask(&broken);
        assert_eq!(
            (number(&ack, "error"), ack.get("action"), ack.get("fail")),
            (Some(255), None, None),
            "{ack:?}"
        );
    }
}

#[test]
fn coraza_reads_a_number_for_a_message_that_ends_too_early() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    let whole = coraza("q=good").encode();
    for end in [whole.len() - 1, 40, 12] {
        link.send(&Frame::new(NOTIFY, 1, 1, whole[..end].to_vec()));
        let ack = link.expect_ack();
        assert_eq!((number(&ack, "error"), ack.get("action")), (Some(255), None), "{end}: {ack:?}");
    }
}

#[test]
fn coraza_without_an_answer_in_time_reads_a_number() {
    let agent = Agent::with_rules(RULES, &["-n", "1", "--deadline", "200ms"]);
    signal(agent.engines()[0], "STOP");
    let ack = agent.link().ask(&coraza("q=good"));
    assert_eq!((number(&ack, "error"), ack.code()), (Some(1), None), "{ack:?}");
    let ack = agent.link().ask(&Message::get("/", None));
    assert_eq!(ack.error(), Some("timeout"));
}

#[test]
fn coraza_denies_what_nobody_inspected_if_it_is_told_to() {
    let agent = Agent::with_rules(RULES, &["--on-error", "deny=503"]);
    let ack = agent.link().ask(&coraza("q=good").without(&["method"]));
    assert_eq!(
        (word(&ack, "action"), number(&ack, "fail"), number(&ack, "status")),
        (Some("deny"), Some(1), Some(503))
    );
}

#[test]
fn the_nine_arguments_of_early_coraza() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    let nine = ["unique-id", "src-ip", "method", "path", "query", "version", "headers", "body-size", "body"];
    assert_eq!(number(&link.ask(&coraza("q=bad").unnamed(&nine).named("coraza-req")), "fail"), Some(1));
    assert_eq!(number(&link.ask(&coraza("q=good").unnamed(&nine).named("coraza-req")), "fail"), Some(0));
    let from = coraza("q=good").with("src-ip", text("192.0.2.9"));
    assert_eq!(
        number(&link.ask(&from.unnamed(&nine).named("coraza-req")), "fail"),
        Some(1),
        "src as a string"
    );
    let short = coraza("q=good").unnamed(&nine[..8]).named("coraza-req");
    assert_eq!(number(&link.ask(&short), "error"), Some(255));
}

#[test]
fn rule_ids_are_exported_unless_they_are_not_wanted() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    for (wanted, ids) in [(true, Some("11")), (false, None)] {
        let mut message = coraza("q=bad");
        message.arguments.push(("exportRuleIDs".to_owned(), Value::Bool(wanted)));
        let ack = link.ask(&message);
        assert_eq!((word(&ack, "rule_ids"), number(&ack, "rules_hit")), (ids, Some(1)));
    }
}

#[test]
fn with_detect_only_nothing_is_denied_and_all_is_told() {
    let agent = Agent::with_rules(RULES, &["--responses", "10"]);
    let mut link = agent.link();
    let detect_only = |mut message: Message| {
        message.arguments.push(("detect-only".to_owned(), Value::Bool(true)));
        message
    };
    let ack = link.ask(&detect_only(coraza("q=bad")));
    assert_eq!(
        (word(&ack, "action"), number(&ack, "fail"), word(&ack, "rule_ids")),
        (Some("allow"), Some(0), Some("11"))
    );
    agent.log.wait_for("the record", |line| line.contains("request would be denied"));
    let ack = link.ask(&coraza("q=good"));
    let answer = link.ask(&detect_only(Message::response(&ack, "secret").named("coraza-res")));
    assert_eq!(
        (word(&answer, "action"), word(&answer, "rule_ids")),
        (Some("allow"), Some("15")),
        "{answer:?}"
    );
    let ack = link.ask(&coraza("q=good"));
    let answer = link.ask(&Message::response(&ack, "secret").named("coraza-res"));
    assert_eq!((word(&answer, "action"), number(&answer, "fail")), (Some("deny"), Some(1)));
}

#[test]
fn rules_to_ignore_do_not_apply_to_that_request() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    let ignoring = |list: Value| {
        let mut message = Message::get("/", Some("q=bad")).named("modsecurity");
        message.arguments.push(("ignorerules".to_owned(), list));
        message
    };
    for (list, code) in [("11", 0), ("7, 11", 0), ("12", 451), ("", 451)] {
        assert_eq!(link.ask(&ignoring(text(list))).code(), Some(code), "{list}");
    }
    assert_eq!(link.ask(&ignoring(Value::Null)).code(), Some(451));
    // An engine would cut the second to 32 bits, and ignore rule 11.
    for list in ["11;rm", "4294967307", "0", "-11"] {
        let ack = link.ask(&ignoring(text(list)));
        assert_eq!((ack.code(), ack.error()), (None, Some("invalid")), "{list}");
    }
}
