//! Are responses inspected, in the transaction of their request, and never at the expense of requests?

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::agent::Agent;
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::wait_until;
use crate::support::wire::{Value, headers, text};

/// Phase 3 looks at what phase 1 kept of the request, phase 4 at the body.
const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecAction "id:1,phase:1,pass,nolog,setvar:tx.word=%{ARGS.word}"
SecRule ARGS:word "@streq noted" "id:2,phase:1,pass,log,msg:'noted in the request'"
SecRule TX:word "@streq marked" "id:3,phase:3,deny,status:502,log,msg:'the request was marked'"
SecRule RESPONSE_BODY "@contains secret" "id:4,phase:4,deny,status:403,log,msg:'a secret leaks'"
SecRule RESPONSE_BODY "@contains noticed" "id:5,phase:4,pass,log,msg:'noticed',setvar:tx.outbound_anomaly_score=4"
SecRule RESPONSE_STATUS "@streq 500" "id:6,phase:3,deny,status:503,log"
SecRule RESPONSE_HEADERS:Server "@streq leaky" "id:7,phase:3,deny,status:504,log"
"#;

fn flag(ack: &Ack, name: &str) -> Option<bool> {
    ack.get(name).map(|value| matches!(value, Value::Bool(true)))
}

fn request(link: &mut Link, query: &str) -> Ack {
    let ack = link.ask(&Message::get("/", Some(query)));
    assert_eq!((ack.code(), ack.error()), (Some(0), None), "{ack:?}");
    ack
}

fn string<'a>(ack: &'a Ack, name: &str) -> Option<&'a str> {
    ack.get(name).map(Value::str)
}

#[test]
fn a_response_is_inspected_in_its_own_transaction() {
    for isolation in ["process", "thread"] {
        let agent = Agent::with_rules(RULES, &["--responses", "100", "-n", "3", "--isolation", isolation]);
        // From several links, so that all workers have some.
        let mut links: Vec<Link> = (0..4).map(|_| agent.link()).collect();
        let asked: Vec<_> = (0..40)
            .map(|number| {
                let word = if number % 3 == 0 { "marked" } else { "other" };
                (request(&mut links[number % 4], &format!("word={word}")), word)
            })
            .collect();
        for (number, (ack, word)) in asked.iter().enumerate() {
            // HAProxy sends a response over any link.
            let answer = links[(number + 1) % 4].ask(&Message::response(ack, "a page"));
            let code = if *word == "marked" { 502 } else { 0 };
            assert_eq!((answer.code(), answer.error()), (Some(code), None), "{isolation} {answer:?}");
            assert_eq!(flag(&answer, "lost"), Some(false), "{isolation}");
        }
    }
}

#[test]
fn status_headers_and_body_are_inspected() {
    let agent = Agent::with_rules(RULES, &["--responses", "100"]);
    let mut link = agent.link();
    let mut inspect = |change: &dyn Fn(Message) -> Message, body: &str| {
        let ack = request(&mut link, "word=x");
        link.ask(&change(Message::response(&ack, body))).code()
    };
    assert_eq!(inspect(&|message| message, "nothing"), Some(0));
    assert_eq!(inspect(&|message| message, "a secret"), Some(403));
    assert_eq!(inspect(&|message| message.with("status", Value::Int64(500)), ""), Some(503));
    let leaky = || crate::support::wire::headers(&[("Server", "leaky")]);
    assert_eq!(inspect(&|message| message.with("headers", leaky()), ""), Some(504));
}

#[test]
fn the_answer_is_about_the_response_alone() {
    let agent = Agent::with_rules(RULES, &["--responses", "100"]);
    let mut link = agent.link();
    let ack = request(&mut link, "word=noted");
    assert_eq!(string(&ack, "rule_ids"), Some("2"));
    let answer = link.ask(&Message::response(&ack, "noticed"));
    assert_eq!((answer.code(), string(&answer, "rule_ids")), (Some(0), Some("5")));
    assert_eq!(string(&answer, "msg"), Some("noticed"));
    assert_eq!(answer.get("anomaly_score").map(Value::int), Some(4));
    // What the request's verdict has set is still there in HAProxy: a word of it must not be taken for the response's.
    for name in ["code", "action", "error", "status", "data", "rule_ids", "msg", "anomaly_score"] {
        assert!(answer.unset.iter().any(|unset| unset == name), "{name} stays in {answer:?}");
    }
}

#[test]
fn a_response_that_cannot_be_read_is_not_called_clean() {
    let agent = Agent::with_rules(RULES, &["--responses", "100"]);
    let mut link = agent.link();
    let ack = request(&mut link, "word=x");
    for broken in [
        Message::response(&ack, "").without(&["status"]),
        Message::response(&ack, "").with("status", text("abc")),
        Message::response(&ack, "").with("headers", Value::Binary(b"\x09short".to_vec())),
        Message::response(&ack, "").with("headers", Value::Null),
    ] {
        let answer = link.ask(&broken);
        assert_eq!((answer.code(), answer.error()), (None, Some("invalid")), "{answer:?}");
        assert!(answer.unset.iter().any(|name| name == "code"), "the request's code 0 stays: {answer:?}");
    }
}

#[test]
fn a_response_without_its_transaction_is_inspected_on_its_own_and_marked() {
    let agent = Agent::with_rules(RULES, &["--responses", "100", "-n", "2"]);
    let mut link = agent.link();
    let ack = request(&mut link, "word=marked");
    let first = link.ask(&Message::response(&ack, "a page"));
    assert_eq!((first.code(), flag(&first, "lost")), (Some(502), Some(false)));
    // The same identifier again, one that nobody gave, one of a worker that is not there, none at all.
    let other = |id: Value| Message::response(&ack, "a secret").with("id", id);
    let mut messages = vec![Message::response(&ack, "a secret")];
    for id in ["0123456789abcdef0123456789abcdef-1", "0123456789abcdef0123456789abcdef-99", "x", "", "-"] {
        messages.push(other(text(id)));
    }
    messages.push(other(Value::Null));
    messages.push(Message::response(&ack, "a secret").without(&["id"]));
    for message in messages {
        let answer = link.ask(&message);
        assert_eq!((answer.code(), flag(&answer, "lost")), (Some(403), Some(true)), "{message:?}");
        assert_eq!(string(&answer, "rule_ids"), Some("4"), "what the stand-in of the request did is told");
    }
}

#[test]
fn an_identifier_that_is_taken_from_one_request_does_not_serve_another() {
    let agent = Agent::with_rules(RULES, &["--responses", "100", "-n", "1"]);
    let mut link = agent.link();
    let (one, two) = (request(&mut link, "word=marked"), request(&mut link, "word=other"));
    assert_ne!(string(&one, "id"), string(&two, "id"));
    assert_eq!(link.ask(&Message::response(&two, "a page")).code(), Some(0));
    assert_eq!(link.ask(&Message::response(&one, "a page")).code(), Some(502));
}

#[test]
fn the_core_rule_set_finds_what_a_database_says() {
    let agent = Agent::start(&["--responses", "100", "-n", "1"]);
    let mut link = agent.link();
    let error = "<p>You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version</p>";
    for (body, code) in [("<p>hello</p>", 0), (error, 403)] {
        let ack = request(&mut link, "word=x");
        for lost in [false, true] {
            // The second time the transaction is gone.
            let answer = link.ask(&Message::response(&ack, body));
            assert_eq!((answer.code(), flag(&answer, "lost")), (Some(code), Some(lost)), "{answer:?}");
            if code > 0 {
                let rules = string(&answer, "rule_ids").unwrap();
                assert!(rules.contains("951230") && rules.contains("959100"), "{rules}");
                assert_eq!(answer.get("anomaly_score").map(Value::int), Some(5));
            }
        }
    }
}

#[test]
fn a_denied_request_is_finished_at_once() {
    let rules = format!("{RULES}SecRule ARGS:word \"@streq bad\" \"id:9,phase:2,deny,log\"\n");
    let agent = Agent::with_rules(&rules, &["--responses", "100"]);
    let ack = agent.link().ask(&Message::get("/", Some("word=bad")));
    assert_eq!(ack.code(), Some(403));
    assert!(!string(&ack, "id").unwrap().contains('-'), "{ack:?}");
}

#[test]
fn without_responses_nothing_is_kept() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    let ack = request(&mut link, "word=marked");
    let answer = link.ask(&Message::response(&ack, "a secret"));
    assert_eq!((answer.code(), flag(&answer, "lost")), (Some(403), Some(true)));
    agent
        .log
        .wait_for("what became of it", |line| line.contains(" responses come without their transaction "));
}

/// An audit log of one line for each transaction that is finished.
fn audited(folder: &Path, more: &str) -> (String, PathBuf) {
    let log = folder.join("audit.log");
    let rules = format!(
        "{RULES}SecAuditEngine On\nSecAuditLogFormat JSON\nSecAuditLogParts AHZ\nSecAuditLogType Serial\n\
         SecAuditLog {}\n{more}",
        log.display()
    );
    (rules, log)
}

fn finished(log: &Path) -> usize {
    fs::read_to_string(log).unwrap_or_default().lines().count()
}

/// Waits until so many transactions are finished.
fn wait_until_finished(log: &Path, count: usize) {
    wait_until("the end of transactions", || finished(log) >= count);
}

#[test]
fn the_oldest_gives_way_and_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (rules, log) = audited(folder.path(), "");
    let agent = Agent::with_rules(&rules, &["--responses", "4", "-n", "1"]);
    let mut link = agent.link();
    let acks: Vec<_> = (0..10).map(|_| request(&mut link, "word=marked")).collect();
    wait_until_finished(&log, 6);
    assert_eq!(finished(&log), 6);
    let lost: Vec<_> =
        acks.iter().map(|ack| flag(&link.ask(&Message::response(ack, "a page")), "lost").unwrap()).collect();
    assert_eq!(lost, [[true; 6].as_slice(), &[false; 4]].concat());
}

#[test]
fn the_memory_of_an_engine_is_bounded_whatever_a_transaction_takes() {
    let folder = tempfile::tempdir().unwrap();
    // A parameter is stored sixty times, so that a request of 15 KB takes a mebibyte.
    let store: String = (100..160)
        .map(|id| {
            let set = format!("setvar:'tx.k{id}=%{{ARGS_POST.large}}'");
            format!("SecAction \"id:{id},phase:2,pass,nolog,{set}\"\n")
        })
        .collect();
    let (rules, log) = audited(folder.path(), &store);
    let agent = Agent::with_rules(&rules, &["--responses", "200", "-n", "1"]);
    let mut link = agent.link();
    let body = format!("large={}", "x".repeat(15_000)).into_bytes();
    let head = [("Host", "shop.test"), ("Content-Type", "application/x-www-form-urlencoded")];
    let message = Message::get("/", Some("word=marked")).with("method", text("POST"));
    let message = message.with("headers", headers(&head)).with("body-size", Value::Int64(body.len() as i64));
    let message = message.with("body", Value::Binary(body));
    let engine = agent.engines()[0];
    let before = Agent::own_kib(engine);
    let mut most = 0;
    let acks: Vec<_> = (0..300)
        .map(|_| {
            let ack = link.ask(&message);
            most = most.max(Agent::own_kib(engine) - before);
            ack
        })
        .collect();
    // The oldest give way between two requests, so the last of them a moment after the last answer.
    wait_until("the engine rests", || {
        let before = finished(&log);
        let stat = std::fs::read_to_string(format!("/proc/{engine}/stat")).unwrap();
        stat.contains(") S ") && finished(&log) == before
    });
    let gone = finished(&log);
    println!("at most {most} KiB more, {} of 200 places taken", acks.len() - gone);
    // 256 KiB for each place, and 16 MiB; then what comes while the oldest give way.
    assert!(most <= 200 * 256 + 16 * 1024 + 8 * 1024, "{most} KiB");
    assert!(gone > 100, "{gone} have given way, as many as without a bound on memory");
    let last = acks.last().unwrap();
    assert_eq!(link.ask(&Message::response(last, "a page")).code(), Some(502));
    assert_eq!(flag(&link.ask(&Message::response(&acks[gone - 1], "a page")), "lost"), Some(true));
    assert_eq!(flag(&link.ask(&Message::response(&acks[gone], "a page")), "lost"), Some(false));
}

#[test]
fn what_waits_too_long_is_finished_though_nothing_else_happens() {
    for isolation in ["process", "thread"] {
        let folder = tempfile::tempdir().unwrap();
        let (rules, log) = audited(folder.path(), "");
        let options = ["--responses", "100", "--response-ttl", "300ms", "-n", "1", "--isolation", isolation];
        let agent = Agent::with_rules(&rules, &options);
        let mut link = agent.link();
        let ack = request(&mut link, "word=marked");
        wait_until_finished(&log, 1);
        assert_eq!(flag(&link.ask(&Message::response(&ack, "a page")), "lost"), Some(true), "{isolation}");
    }
}

#[test]
fn the_end_of_the_agent_finishes_what_waits() {
    for isolation in ["process", "thread"] {
        let folder = tempfile::tempdir().unwrap();
        let (rules, log) = audited(folder.path(), "");
        let options = ["--responses", "1000", "-n", "2", "--isolation", isolation];
        let mut agent = Agent::with_rules(&rules, &options);
        let mut link = agent.link();
        for _ in 0..200 {
            request(&mut link, "word=x");
        }
        assert_eq!(finished(&log), 0, "{isolation}");
        agent.signal("TERM");
        assert!(agent.wait().success());
        assert_eq!(finished(&log), 200, "{isolation}");
    }
}

#[test]
fn an_engine_that_dies_loses_its_transactions_and_nothing_else() {
    let agent = Agent::with_rules(RULES, &["--responses", "100", "-n", "1"]);
    let mut link = agent.link();
    let ack = request(&mut link, "word=marked");
    let engine = agent.engines()[0];
    crate::support::process::signal(engine, "KILL");
    agent.log.wait_for("the restart", |line| line.contains(" worker restarted, "));
    let answer = link.ask(&Message::response(&ack, "a secret"));
    assert_eq!((answer.code(), flag(&answer, "lost")), (Some(403), Some(true)), "{answer:?}");
    let ack = request(&mut link, "word=marked");
    assert_eq!(flag(&link.ask(&Message::response(&ack, "a page")), "lost"), Some(false));
}

#[test]
fn a_flood_of_requests_without_responses_grows_no_memory() {
    let agent = Agent::with_rules(RULES, &["--responses", "500", "-n", "2"]);
    let mut link = agent.link();
    let big = |number: usize| {
        let body = format!("a={number}{}", "x".repeat(7000));
        let size = body.len() as i64;
        let message = Message::get("/", Some("word=x")).with("method", text("POST"));
        message.with("body", Value::Binary(body.into_bytes())).with("body-size", Value::Int64(size))
    };
    let memory = || agent.resident_kib();
    let mut flood = |count: usize| {
        for number in 0..count {
            assert_eq!(link.ask(&big(number)).code(), Some(0));
        }
    };
    // Until all places are taken, and malloc has what it needs.
    flood(3000);
    let full = memory();
    flood(6000);
    let after = memory();
    println!("{full} KiB with 500 waiting, {after} KiB after 6000 requests more");
    assert!(after < full + 4096, "{full} KiB, then {after} KiB");
}
