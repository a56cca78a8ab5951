//! Does the status of the rule that denies come out at HAProxy, whichever phase it denies in?

use crate::support::agent::Agent;
use crate::support::haproxy::Haproxy;
use crate::support::site::Site;
use crate::support::spop::Message;
use crate::support::wire::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;

const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:X-Phase "@streq 1" "id:1,phase:1,deny,status:451"
SecRule REQUEST_HEADERS:X-Phase "@streq 2" "id:2,phase:2,deny,status:406"
SecRule ARGS_POST:word "@streq hello" "id:3,phase:2,deny,status:429"
SecRule REQUEST_HEADERS:X-Phase "@streq both" "id:4,phase:1,deny,status:451"
SecRule REQUEST_HEADERS:X-Phase "@streq both" "id:5,phase:2,deny,status:406"
SecRule REQUEST_HEADERS:X-Phase "@streq move" "id:6,phase:1,redirect:http://shop.test/elsewhere,status:302"
SecRule REQUEST_HEADERS:X-Phase "@streq plain" "id:8,phase:1,deny"
SecRule REQUEST_HEADERS:X-Phase "@streq pass" "id:9,phase:1,pass,log,msg:'only logged'"
"#;

fn haproxy() -> &'static Haproxy {
    static SITE: OnceLock<Site> = OnceLock::new();
    &SITE.get_or_init(|| Site::with_rules(RULES)).haproxy
}

fn phase(value: &str, options: &[&str]) -> crate::support::client::Answer {
    haproxy().curl("/", &[&["-H", &format!("X-Phase: {value}")], options].concat())
}

#[test]
fn a_denial_in_phase_1_of_a_get_without_a_body_has_its_status() {
    let answer = phase("1", &[]);
    answer.assert_denied_with(451);
    assert_eq!(answer.status, 451);
}

#[test]
fn a_denial_in_phase_1_of_a_post_has_its_status() {
    phase("1", &["-d", "word=other"]).assert_denied_with(451);
}

#[test]
fn a_denial_in_phase_2_of_a_get_without_a_body_has_its_status() {
    let answer = phase("2", &[]);
    answer.assert_denied_with(406);
    assert_eq!(answer.status, 406);
}

#[test]
fn a_denial_by_the_body_has_its_status() {
    let answer = phase("0", &["-d", "word=hello"]);
    answer.assert_denied_with(429);
    assert_eq!(answer.status, 429);
}

#[test]
fn the_first_denial_counts() {
    phase("both", &["-d", "word=hello"]).assert_denied_with(451);
}

#[test]
fn a_denial_without_a_status_is_403() {
    phase("plain", &[]).assert_denied();
}

#[test]
fn a_rule_that_passes_denies_nothing() {
    phase("pass", &[]).assert_clean();
}

#[test]
fn a_redirect_goes_where_its_rule_says() {
    let answer = haproxy()
        .curl("/", &["-H", "X-Phase: move", "-w", "\nto %{redirect_url}\n%{local_ip} %{local_port}"]);
    assert_eq!((answer.status, answer.verdict.code, answer.verdict.error.as_deref()), (302, Some(302), None));
    assert!(answer.body.contains("to http://shop.test/elsewhere"), "{answer:?}");
}

#[test]
fn detection_only_lets_attacks_through() {
    let site = Site::with_rules(
        "SecRuleEngine DetectionOnly\nSecRule ARGS:a \"@streq b\" \"id:1,phase:1,deny,log\"\n",
    );
    site.haproxy.curl("/?a=b", &[]).assert_clean();
    site.agent
        .log
        .wait_for("the rule that matched", |line| line.contains("rule matched") && line.contains("rule: 1,"));
}

/// What drops: a rule by itself, and one that leaves it to the default action.
const DROPS: &str = r#"SecRuleEngine On
SecRule ARGS:b "@streq drop" "id:5,phase:2,drop,log,msg:'dropped'"
SecDefaultAction "phase:2,log,drop"
SecRule ARGS:b "@streq block" "id:7,phase:2,block,msg:'blocked'"
"#;

#[test]
fn drop_closes_the_connection_without_an_answer() {
    let agent = Agent::with_rules(DROPS, &[]);
    let haproxy = Haproxy::start(agent.address());
    for query in ["b=drop", "b=block"] {
        let ack = agent.link().ask(&Message::get("/", Some(query)));
        assert_eq!((ack.code(), ack.get("action").map(Value::str)), (Some(403), Some("drop")), "{query}");
        let mut stream = TcpStream::connect(haproxy.v4).unwrap();
        write!(stream, "GET /?{query} HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
        let client = format!(": {} ", stream.local_addr().unwrap());
        let line = haproxy.log.wait_for("the request", |line| line.contains(&client));
        assert!(line.contains(" modsec_code=403 ") && line.contains(" modsec_action=drop "), "{line}");
        // HAProxy is done with it, and the client has heard nothing: not even of the end, where HAProxy may (as root).
        stream.set_nonblocking(true).unwrap();
        assert!(!matches!(stream.read(&mut [0; 16]), Ok(1..)), "{query}: the client got an answer");
    }
    haproxy.curl("/?b=other", &[]).assert_clean();
}
