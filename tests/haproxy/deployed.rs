//! Is the deployed configuration (deploy/haproxy.cfg, deploy/spoe-modsecurity.conf) right as it is, and on the safe side
//! when the agent is away?

use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::client::read_response;
use crate::support::haproxy::{Haproxy, identity, program, repository};
use crate::support::site::shared;
use crate::support::waiting::wait_until;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

const ATTACK: &str = "/?id=1'%20OR%20'1'%3D'1";

/// HAProxy with the SPOE file as it is deployed, its short time-outs included.
fn impatient(agent: &str) -> Haproxy {
    let path = repository("deploy/spoe-modsecurity.conf");
    Haproxy::start_with(agent, &[("MODSEC_SPOE_CONF", path.to_str().unwrap())])
}

/// Asks until the answer has this status: on a busy machine, or while HAProxy's health check (once a second) has not
/// found the agent again, a request may be refused with 503.
fn until(haproxy: &Haproxy, target: &str, status: u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = haproxy.curl(target, &[]);
        if answer.status == status {
            return;
        }
        assert_eq!(answer.status, 503, "{target}: {answer:?}");
        assert!(Instant::now() < deadline, "{target} is never answered with {status}");
    }
}

#[test]
fn haproxy_accepts_it_without_a_warning() {
    let mut command = Command::new(program());
    command.args(["-c", "-f"]).arg(repository("deploy/haproxy.cfg"));
    command.env("HAPROXY_USER", identity("-un")).env("HAPROXY_GROUP", identity("-gn"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !text.contains("WARNING") && !text.contains("ALERT"), "{text}");
}

#[test]
fn it_works_with_its_own_time_outs() {
    let haproxy = impatient(shared().agent.address());
    until(&haproxy, "/", 200);
    until(&haproxy, ATTACK, 403);
}

#[test]
fn it_works_with_an_agent_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("agent.sock").display());
    let agent = Agent::start_at(&[&address]);
    let haproxy = Haproxy::start(agent.address());
    haproxy.curl("/", &[]).assert_clean();
    haproxy.curl(ATTACK, &[]).assert_denied();
}

#[test]
fn without_an_agent_nothing_reaches_the_application() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let haproxy = impatient(&free.to_string());
    let answer = haproxy.curl("/", &[]);
    assert_eq!((answer.status, answer.verdict.code), (503, None), "{answer:?}");
    assert!(answer.verdict.error.is_some(), "{answer:?}");
    assert!(!answer.body.contains("the application"));
}

#[test]
fn an_agent_that_says_nothing_delays_a_request_only_so_long() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let haproxy = impatient(&mute.local_addr().unwrap().to_string());
    let start = Instant::now();
    let answer = haproxy.curl("/", &[]);
    assert_eq!((answer.status, answer.verdict.code), (503, None), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn an_agent_that_comes_back_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("agent.sock").display());
    let first = Agent::start_at(&[&address]);
    let haproxy = impatient(&address);
    until(&haproxy, "/", 200);
    assert_eq!(first.stop().0.code(), Some(0));
    assert_eq!(haproxy.curl("/", &[]).status, 503);
    let _second = Agent::start_at(&[&address]);
    until(&haproxy, "/", 200);
    until(&haproxy, ATTACK, 403);
}

#[test]
fn a_request_too_large_for_the_agent_does_not_reach_the_application() {
    // HAProxy's buffers were raised, the agent's frames were not, and it takes no fragments.
    let agent = Agent::start(&["-c", "pipelining"]);
    let haproxy = Haproxy::start_with(agent.address(), &[("HAPROXY_BUFSIZE", "65536")]);
    let answer = haproxy.curl("/", &["-H", &format!("X-Padding: {}", "a".repeat(20_000))]);
    assert_eq!((answer.status, answer.verdict.code), (503, None), "{answer:?}");
    assert!(answer.verdict.error.is_some(), "{answer:?}");
    haproxy.curl("/", &[]).assert_clean();
}

#[test]
fn a_body_that_comes_after_its_headers_is_inspected() {
    let post = |body: &str| {
        let mut stream = TcpStream::connect(shared().haproxy.v4).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "POST / HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\nExpect: 100-continue\r\n\
            Content-Type: application/x-www-form-urlencoded";
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        // HAProxy asks for the body when it waits for it: the headers are there, the body is not.
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body.as_bytes()).unwrap();
        read_response(&mut stream).status
    };
    assert_eq!(post("comment=hello"), 200);
    assert_eq!(post("id=1'%20OR%20'1'%3D'1"), 403);
}

#[test]
fn a_long_request_line_does_not_push_the_verdict_out_of_the_log() {
    // HAProxy logs 1024 bytes of it, and was to cut lines after as many. `curl` finds the verdict in the log.
    let attack = format!("/?page={}&id=1'%20OR%20'1'%3D'1", "a".repeat(3000));
    shared().haproxy.curl(&attack, &[]).assert_denied();
}

#[test]
fn every_request_of_a_connection_is_inspected() {
    let mut stream = TcpStream::connect(shared().haproxy.v4).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ask = |target: &str| {
        write!(stream, "GET {target} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
            .unwrap();
        read_response(&mut stream).status
    };
    assert_eq!([ask("/"), ask("/?q=shoes"), ask(ATTACK)], [200, 200, 403]);
}

#[test]
fn health_checks_of_haproxy_succeed() {
    let haproxy = &shared().haproxy;
    let state = || {
        let statistics = haproxy.admin("show stat");
        let columns: Vec<&str> = statistics.lines().next().unwrap().split(',').collect();
        let column = |name: &str| columns.iter().position(|column| *column == name).unwrap();
        let server = statistics.lines().find(|line| line.starts_with("modsecurity-agents,agent1,")).unwrap();
        let fields: Vec<&str> = server.split(',').collect();
        (fields[column("check_status")].to_owned(), fields[column("status")].to_owned())
    };
    // Before the first check has ended the status is INI.
    wait_until("a health check that succeeds", || state().0.starts_with("L7OK"));
    assert_eq!(state().1, "UP");
}
