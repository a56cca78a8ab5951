//! Does the log say what an operator must know, in lines that no request can forge?

use crate::support::PATIENCE;
use crate::support::agent::{Agent, launch, rule_file};
use crate::support::log::{is_alarming, value};
use crate::support::process::{end, engine, signal, wait};
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::wait_until;
use crate::support::wire::{Value, headers, text};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::OnceLock;

const ATTACK: &str = "id=1'%20OR%20'1'%3D'1";

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| Agent::start(&[]))
}

/// Sends a request that is denied under this unique id; gives its ACK and its line.
fn denied(request: Message, unique_id: &str) -> (Ack, String) {
    let ack = agent().link().ask(&request.with("unique-id", text(unique_id)));
    assert_eq!(ack.code(), Some(403), "{ack:?}");
    let line = agent()
        .log
        .wait_for("the denial", |line| line.contains(" request denied, ") && line.contains(unique_id));
    (ack, line)
}

fn unquoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    value(line, key).map(|text| text.trim_matches('"'))
}

#[test]
fn a_denial_is_one_line_with_all_that_one_needs() {
    let (ack, line) = denied(Message::get("/shop", Some(ATTACK)), "the-denial-with-all");
    assert_eq!(unquoted(&line, "id"), Some(ack.get("id").unwrap().str()), "{line}");
    assert_eq!(unquoted(&line, "unique_id"), Some("the-denial-with-all"), "{line}");
    assert_eq!(unquoted(&line, "client"), Some("192.0.2.7:4711"), "{line}");
    assert_eq!(unquoted(&line, "method"), Some("GET"), "{line}");
    assert_eq!(unquoted(&line, "host"), Some("shop.test"), "{line}");
    assert_eq!(value(&line, "uri"), Some(format!("\"/shop?{ATTACK}\"").as_str()), "{line}");
    assert_eq!(value(&line, "status"), Some("403"), "{line}");
    assert!(value(&line, "rules").is_some_and(|rules| rules.contains("942100")), "{line}");
    assert!(unquoted(&line, "message").is_some_and(|message| message.len() > 5), "{line}");
    assert_eq!(
        agent().log.lines_with("the-denial-with-all").iter().filter(|l| l.contains("request denied")).count(),
        1
    );
}

#[test]
fn each_logged_rule_is_one_line() {
    let (ack, _) = denied(Message::get("/", Some(ATTACK)), "each-logged-rule");
    let id = ack.get("id").unwrap().str();
    agent().log.wait_for("rule 942100", |line| {
        line.contains(" rule matched, ") && line.contains(id) && unquoted(line, "rule") == Some("942100")
    });
}

#[test]
fn a_clean_request_is_not_logged() {
    let (before, after) = (Message::get("/", None), Message::get("/", Some(ATTACK)));
    agent().link().ask(&before.with("unique-id", text("a-clean-request")));
    denied(after, "after-the-clean-request");
    assert_eq!(agent().log.lines_with("a-clean-request"), Vec::<String>::new());
}

#[test]
fn control_bytes_in_a_uri_make_no_second_line() {
    let path = "/a\nforged line one\r\nforged line two\u{b}\u{1b}[31m";
    let (_, line) = denied(Message::get(path, Some(ATTACK)), "control-bytes-in-a-uri");
    assert!(
        line.contains("forged line one") && line.contains("forged line two"),
        "not in one line: {line:?}"
    );
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

#[test]
fn control_bytes_anywhere_else_make_no_second_line() {
    let list = [("user-agent", "1' OR '1'='1\nforged by a header"), ("host", "shop.test")];
    let request = Message::get("/", Some("id=1'%20OR%20'1'%3D'1%0Aforged%20by%20a%20query"))
        .with("method", text("GET\nforged by a method"))
        .with("headers", headers(&list));
    agent().link().ask(&request.with("unique-id", text("control-bytes\nforged by an id")));
    let forged = |line: &str| line.contains(" request denied, ") && line.contains("forged by a method");
    agent().log.wait_for("the denial", forged);
    let (_, last) = denied(Message::get("/", Some(ATTACK)), "after-the-control-bytes");
    assert!(last.contains("after-the-control-bytes"));
    for line in agent().log.lines() {
        assert!(!line.trim_start().starts_with("forged"), "{line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn quotes_in_a_uri_forge_no_field() {
    let (_, line) = denied(Message::get("/a\", status: 200, x: \"", Some(ATTACK)), "quotes-in-a-uri");
    assert_eq!(value(&line, "status"), Some("403"), "{line}");
}

#[test]
fn a_long_uri_makes_no_long_line() {
    let (_, line) = denied(Message::get(&format!("/{}", "a".repeat(10_000)), Some(ATTACK)), "a-long-uri");
    assert!(line.len() < 2_000, "{} bytes", line.len());
    assert_eq!(value(&line, "status"), Some("403"), "{line}");
}

#[test]
fn bytes_that_are_no_text_are_logged() {
    let request = Message::get("/", Some(ATTACK)).with("path", Value::Text(b"/caf\xe9\xff".to_vec()));
    let (_, line) = denied(request, "bytes-that-are-no-text");
    assert!(value(&line, "uri").is_some_and(|uri| uri.starts_with("\"/caf")), "{line}");
}

#[test]
fn a_client_without_an_address_is_logged() {
    let request = Message::get("/", Some(ATTACK)).with("src-ip", Value::Null).with("src-port", Value::Null);
    let (_, line) = denied(request, "a-client-without-an-address");
    assert!(value(&line, "client").is_some(), "{line}");
}

#[test]
fn a_client_over_ipv6_is_logged() {
    let mut address = [0; 16];
    (address[0], address[1], address[2], address[3], address[15]) = (0x20, 0x01, 0x0d, 0xb8, 7);
    let (_, line) = denied(Message::get("/", Some(ATTACK)).with("src-ip", Value::Ipv6(address)), "over-ipv6");
    assert_eq!(unquoted(&line, "client"), Some("[2001:db8::7]:4711"), "{line}");
}

#[test]
fn the_start_is_told_step_by_step() {
    let agent = Agent::start(&["-n", "2"]);
    let lines = agent.log.lines();
    let at = |text: &str| {
        lines
            .iter()
            .position(|line| line.contains(text))
            .unwrap_or_else(|| panic!("no {text:?} in {lines:#?}"))
    };
    let starting = &lines[at(" starting, ")];
    let engine_name = if engine() == 2 { "ModSecurity 2.9." } else { "libmodsecurity 3." };
    assert_eq!(unquoted(starting, "version"), Some(env!("CARGO_PKG_VERSION")), "{starting}");
    assert!(unquoted(starting, "engine").is_some_and(|name| name.starts_with(engine_name)), "{starting}");
    let loaded = &lines[at(" rules loaded, ")];
    let count: u32 = unquoted(loaded, "rules_in_engine").unwrap().parse().unwrap();
    assert!(count > 500, "the Core Rule Set has more rules: {loaded}");
    assert!(value(loaded, "from").is_some(), "{loaded}");
    assert!(at(" starting, ") < at(" rules loaded, "));
    assert!(at(" rules loaded, ") < at(" listening, "));
    assert!(at(" worker started, worker: 1, ") < at(" ready, "));
    assert!(at(" worker started, worker: 2, ") < at(" ready, "));
    assert!(at(" listening, ") < at(" ready, "));
    assert!(!lines.iter().any(|line| is_alarming(line)), "{lines:#?}");
}

#[test]
fn times_are_utc_whatever_the_time_zone() {
    let now = || {
        String::from_utf8(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M"]).output().unwrap().stdout)
            .unwrap()
    };
    let before = now();
    let agent = Agent::start_exactly(&["--listen", "127.0.0.1:0"], &[("TZ", "Asia/Kathmandu")]);
    let (line, after) = (agent.log.lines()[0].clone(), now());
    assert!(line.starts_with(before.trim()) || line.starts_with(after.trim()), "{line}");
}

#[test]
fn probes_and_normal_closes_are_quiet() {
    let agent = Agent::start(&[]);
    for _ in 0..3 {
        drop(TcpStream::connect(agent.address()).unwrap());
        drop(agent.link());
        let mut link = agent.link();
        link.say_goodbye();
        assert_eq!(link.expect_farewell().code, 0);
    }
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
    let lines = agent.stop().1;
    assert!(
        lines.iter().all(|line| line.contains(" INFO ") || (line.contains(" WARN ") && !is_alarming(line))),
        "{lines:#?}"
    );
    let ready = lines.iter().position(|line| line.contains(" ready, ")).unwrap();
    let stopping = lines.iter().position(|line| line.contains(" stopping, ")).unwrap();
    assert_eq!(lines[ready + 1..stopping], Vec::<String>::new(), "an idle agent says something");
}

/// The engine is stopped, so the Connection answers, which has given the request away.
#[test]
fn a_request_past_its_deadline_is_named_like_any_other_that_nobody_inspected() {
    let agent = Agent::start(&["-n", "1", "--deadline", "200ms"]);
    let mut link = agent.link();
    link.ask(&Message::get("/", None));
    for engine in agent.engines() {
        signal(engine, "STOP");
    }
    let ack = link.ask(&Message::get("/late", Some("a=b")).with("unique-id", text("past-its-deadline")));
    assert_eq!(ack.error(), Some("timeout"), "{ack:?}");
    let line = agent.log.wait_for_text("request not inspected, error: timeout");
    assert!(line.contains("no verdict within the deadline"), "{line}");
    assert!(unquoted(&line, "id").is_some_and(|id| id.len() == 32), "{line}");
    assert_eq!(unquoted(&line, "unique_id"), Some("past-its-deadline"), "{line}");
    assert_eq!(unquoted(&line, "client"), Some("192.0.2.7:4711"), "{line}");
    assert_eq!(unquoted(&line, "method"), Some("GET"), "{line}");
    assert_eq!(unquoted(&line, "host"), Some("shop.test"), "{line}");
    assert_eq!(unquoted(&line, "uri"), Some("/late?a=b"), "{line}");
}

#[test]
fn denials_and_matches_name_application_and_host() {
    let rules = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny,log,auditlog\"\n";
    let (_folder, file) = rule_file(rules);
    let agent = Agent::with_rules(rules, &["--app", &format!("shop={}", file.display())]);
    let host = format!("evil\", app: \"other{}", "x".repeat(1000));
    let list = [("user-agent", "a"), ("host", host.as_str())];
    let mut bad = Message::get("/", Some("q=bad")).with("headers", headers(&list));
    bad.arguments.push(("app".to_owned(), text("shop")));
    assert_eq!(agent.link().ask(&bad).code(), Some(403));
    for what in [" request denied, ", " rule matched, "] {
        let line = agent.log.wait_for_text(what);
        assert_eq!(unquoted(&line, "app"), Some("shop"), "{line}");
        let host = value(&line, "host").unwrap();
        assert!(host.starts_with(r#""evil\", app: \"otherxxx"#), "{line}");
        assert!(line.len() < 1000, "{} bytes", line.len());
    }
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_of() {
    let agent = Agent::start(&[]);
    let mut link = agent.connect();
    link.send_bytes(&[0, 0, 0, 0]);
    link.expect_farewell();
    agent.log.wait_for_text(" WARN ");
}

/// Then nothing that others write to the same file stands within a line, and a line costs one system call.
#[test]
fn each_line_is_written_at_once() {
    // A datagram is what one write(2) wrote.
    let (ours, its) = UnixDatagram::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut agent = launch(&["--listen", "127.0.0.1:0"], &[], OwnedFd::from(its));
    let mut written = vec![0; 1 << 16];
    loop {
        let length = ours.recv(&mut written).unwrap();
        let line = String::from_utf8_lossy(&written[..length]);
        assert_eq!(line.find('\n'), Some(length - 1), "no line: {line:?}");
        if line.contains(" ready, ") {
            break;
        }
    }
    end(&mut agent);
}

/// Nothing waits for ever for whoever reads the log: no request, no stop, no process that is to be replaced.
fn nobody_reads(isolation: &str) {
    const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny\"\n";
    let (folder, rules) = rule_file("SecRuleEngine On\n");
    let socket = folder.path().join("agent");
    let address = format!("unix:{}", socket.display());
    let (mut its, _unread) = UnixStream::pair().unwrap();
    its.set_nonblocking(true).unwrap();
    while its.write(&[b' '; 4096]).is_ok() {}
    its.set_nonblocking(false).unwrap();
    let options = ["--listen", &address, "-f", rules.to_str().unwrap(), "--isolation", isolation];
    let mut agent = launch(&options, &[], OwnedFd::from(its));
    let connect = || {
        let mut link = Link::connect(&address);
        link.shake_hands();
        link
    };
    let bad = Message::get("/", Some("q=bad"));
    wait_until("the agent", || UnixStream::connect(&socket).is_ok());
    let mut link = connect();
    assert_eq!(link.ask(&bad).code(), Some(0));
    fs::write(&rules, RULES).unwrap();
    signal(agent.id(), "HUP");
    if isolation == "thread" {
        // The old process takes no link any more; this one waits for the new.
        assert_eq!(link.expect_farewell().code, 0);
        link = connect();
    }
    wait_until("the new rules", || link.ask(&bad).code() == Some(403));
    signal(agent.id(), "TERM");
    assert_eq!(wait(&mut agent).code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    nobody_reads("process");
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing_with_threads() {
    nobody_reads("thread");
}
