//! Is the operator told when HAProxy does not send what the agent needs, once a minute at most?

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use crate::support::agent::Agent;
use crate::support::client::read_response;
use crate::support::haproxy::{Haproxy, repository};
use crate::support::spop::{Message, hello};
use crate::support::wire::{Value, text};

const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\n";

#[test]
fn a_body_that_is_announced_and_does_not_come_is_told_of() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    let post = Message::get("/", None).with("method", text("POST"));
    for _ in 0..20 {
        link.ask(&post.clone().with("body-size", Value::Int64(10)));
    }
    let line = agent.log.wait_for("the warning", |line| line.contains("http-buffer-request"));
    assert!(line.contains(" WARN ") && line.contains(", without_body: "), "{line}");
    link.ask(&post.with("body-size", Value::Int64(10)));
    // The last look, at the end, says nothing more.
    link.ask(&Message::get("/", None).with("src-ip", Value::Null));
    assert_eq!(agent.stop().1.iter().filter(|line| line.contains("http-buffer-request")).count(), 1);
}

#[test]
fn bodies_that_were_cut_are_told_of_unless_they_are_refused() {
    let body = format!("a={}", "b".repeat(20_000));
    for (policy, is_told) in [("inspect", true), ("deny", false), ("error", false)] {
        let agent = Agent::with_rules(RULES, &["--truncated", policy]);
        let haproxy = Haproxy::start(agent.address());
        haproxy.curl("/", &["-d", "a=b"]);
        for _ in 0..3 {
            haproxy.curl("/", &["--data-binary", &body, "-H", "Expect:"]);
        }
        // It looks once more before it ends.
        let (_, log) = agent.stop();
        let told: Vec<_> = log.iter().filter(|line| line.contains("bodies were cut")).collect();
        assert_eq!(told.len(), usize::from(is_told), "{policy}: {told:#?}");
        let is_warning = |line: &&String| line.contains(" WARN ") && line.contains("largest_bytes: 20002");
        assert!(
            told.iter().all(is_warning) && told.iter().all(|line| line.contains(", requests: ")),
            "{told:#?}"
        );
    }
}

#[test]
fn haproxy_without_http_buffer_request_is_told_of() {
    let agent = Agent::with_rules(RULES, &[]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("haproxy.cfg");
    let deployed = fs::read_to_string(repository("deploy/haproxy.cfg")).unwrap();
    let changed = deployed.replace("\n    option http-buffer-request\n", "\n");
    assert_ne!(deployed, changed);
    fs::write(&config, changed).unwrap();
    let haproxy = Haproxy::start_from(&config, agent.address(), &[]);
    // A client that sends its headers, and the body once the agent has told of its absence.
    let mut client = TcpStream::connect(haproxy.v4).unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\n").unwrap();
    agent.log.wait_for("the warning", |line| line.contains("http-buffer-request"));
    client.write_all(b"hello").unwrap();
    assert_eq!(read_response(&mut client).status, 200);
}

#[test]
fn clients_without_an_address_are_told_of_when_there_are_no_others() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    for _ in 0..10 {
        link.ask(&Message::get("/", None).without(&["src-ip"]));
    }
    agent.log.wait_for("the warning", |line| line.contains("no request has its client's address"));
}

#[test]
fn health_checks_alone_are_told_of() {
    let agent = Agent::with_rules(RULES, &[]);
    for _ in 0..10 {
        let mut items = hello();
        items.push(("healthcheck", Value::Bool(true)));
        let mut link = agent.connect();
        link.greet(items);
    }
    agent.log.wait_for("the warning", |line| {
        line.contains("has never sent it a request") && line.contains(", health_checks: 10")
    });
}

#[test]
fn what_is_as_it_should_be_is_not_told_of() {
    let agent = Agent::with_rules(RULES, &["--responses", "10"]);
    let haproxy = Haproxy::start_with(agent.address(), &[("MODSEC_RESPONSES", "1")]);
    for _ in 0..20 {
        haproxy.curl("/", &["-d", "a=b"]);
    }
    haproxy.curl_unix("/", &[]);
    // It looks once more before it ends.
    let (_, log) = agent.stop();
    assert!(
        !log.iter().any(|line| line.contains("HAProxy needs") || line.contains("come without")),
        "{log:#?}"
    );
    assert!(
        !log.iter().any(|line| line.contains("never sent") || line.contains("no request has")),
        "{log:#?}"
    );
}
