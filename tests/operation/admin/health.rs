//! Who may ask, and what a probe is told.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use super::{Subject, admin_address};
use crate::support::agent::Agent;
use crate::support::http;
use crate::support::spop::Message;
use crate::support::waiting::wait_until;

#[test]
fn a_probe_is_told_when_requests_are_inspected_and_when_no_more() {
    let subject = Subject::start(&[]);
    assert_eq!((subject.get("/live").status, subject.get("/ready").status), (200, 200));
    assert_eq!(subject.get("/nothing").status, 404);
    let ready = http::ask(&subject.admin, "HEAD", "/ready", &[]);
    assert_eq!((ready.status, ready.body.as_str()), (200, ""));
    // A worker's pause before a request keeps the agent draining for seconds.
    let drained = (0..5).any(|_| {
        let subject = Subject::start(&["-t", "9s", "--deadline", "20s"]);
        let mut link = subject.agent.link();
        link.send(&Message::get("/", Some("q=1")).notify(1, 1));
        wait_until("the message", || subject.get("/status").body.contains("\"unanswered\": 1"));
        subject.agent.signal("TERM");
        is_refused(&subject.admin, "no links are accepted")
    });
    assert!(drained, "an agent that drains says that it is ready");
}

/// Whether /ready says no for this reason, before it says nothing any more.
fn is_refused(address: &str, reason: &str) -> bool {
    let mut is_seen = false;
    wait_until("an answer, or the end", || {
        let Ok(mut stream) = TcpStream::connect(address) else { return true };
        let mut answer = String::new();
        let asked = stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
        is_seen = asked.is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.contains(" 503 ")
            && answer.contains(reason);
        is_seen
    });
    is_seen
}

#[test]
fn an_agent_that_has_no_rules_yet_is_not_ready() {
    // The Core Rule Set takes a moment to load.
    let seen = (0..5).any(|_| {
        let agent = Agent::launch(&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], &[]);
        let address = admin_address(&agent);
        let early = http::get(&address, "/ready", &[]);
        // The page and the metrics are there all the same.
        assert_eq!(http::get(&address, "/", &[]).status, 200);
        assert_eq!(http::get(&address, "/metrics", &[]).status, 200);
        assert_eq!(http::get(&address, "/live", &[]).status, 200);
        early.status == 503 && early.body.contains("rules are not loaded")
    });
    assert!(seen, "an agent without rules says that it is ready");
}

#[test]
fn a_unix_socket_is_for_owner_and_group_and_goes_with_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let address = format!("unix:{}", path.display());
    let agent = Agent::with_rules(super::RULES, &["--admin", &address]);
    assert_eq!(admin_address(&agent), address);
    // Over this socket, a name says nothing about who asks.
    assert_eq!(http::get(&address, "/ready", &["Host: admin.example"]).status, 200);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(agent.stop().0.code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn nothing_but_reading_and_no_name_of_a_foreign_page() {
    let subject = Subject::start(&[]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        assert_eq!(http::ask(&subject.admin, method, "/", &[]).status, 405, "{method}");
    }
    for path in ["/", "/metrics", "/status", "/live", "/ready"] {
        assert_eq!(http::get(&subject.admin, path, &["Host: rebound.example:80"]).status, 421, "{path}");
        let head = subject.get(path).head;
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    }
}

#[test]
fn clients_that_take_all_connections_do_not_keep_the_agent_from_answering() {
    let subject = Subject::start(&[]);
    // More than the server takes at a time; each sends half a head.
    let mut idle: Vec<_> = (0..64).map(|_| TcpStream::connect(&subject.admin).unwrap()).collect();
    for stream in &mut idle {
        drop(stream.write_all(b"GET / HTTP/1.1\r\nHost: local"));
    }
    // What is too much is closed at once, and the rest when its time is up.
    wait_until("an answer", || {
        let Ok(mut stream) = TcpStream::connect(&subject.admin) else { return false };
        let mut answer = String::new();
        let asked = stream.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
    });
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert!(!http::raw(&subject.admin, long.as_bytes()).contains(" 200 "), "a head of 100 KB is taken");
    // HAProxy has its answers all the while.
    subject.ask("clean");
}
