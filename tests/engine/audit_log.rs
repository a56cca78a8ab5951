//! Are the engine's audit logs whole, whatever their form, when several workers write to one of them?
//!
//! Four workers and four links; each request must have exactly one record, with its own id, header, body and match in it.

use crate::audit::{self, Record};
use crate::support::agent::Agent;
use crate::support::spop::{Link, Message, hello};
use crate::support::wire::{Value, headers, text};
use std::collections::BTreeSet;
use tempfile::TempDir;

/// Requests of each test.
const REQUESTS: usize = 2000;

/// Links that they come on at a time.
const LINKS: usize = 4;

/// Requests on their way on a link at a time.
const WINDOW: usize = 4;

const FRAME: &str = "65536";

const PARTS: &str = "ABCFHZ";

const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecAuditEngine On
SecAuditLogParts ABCFHZ
SecRule ARGS:n "@rx ^(\d+)$" "id:1,phase:2,pass,log,auditlog,msg:'number %{MATCHED_VAR}'"
"#;

/// An agent that writes an audit log, and where.
struct Audited {
    agent: Agent,
    folder: TempDir,
}

impl Audited {
    fn start(form: &str, isolation: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        std::fs::create_dir(folder.path().join("storage")).unwrap();
        let rules =
            format!("{RULES}{form}\nSecAuditLog {path}/audit.log\nSecAuditLogStorageDir {path}/storage\n");
        let options = ["-n", "4", "--isolation", isolation, "--max-frame-size", FRAME];
        Self { agent: Agent::with_rules(&rules, &options), folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap()
    }

    /// Sends all requests over several links.
    fn ask_all(&self) {
        std::thread::scope(|scope| {
            for first in 0..LINKS {
                let mut link = self.agent.connect();
                let mut items = hello();
                items[1].1 = Value::Uint32(FRAME.parse().unwrap());
                link.greet(items);
                let numbers = (first..REQUESTS).step_by(LINKS);
                scope.spawn(move || pipelined(&mut link, &numbers.collect::<Vec<_>>()));
            }
        });
    }
}

fn pipelined(link: &mut Link, numbers: &[usize]) {
    for (index, &number) in numbers.iter().enumerate() {
        link.send(&request(number).notify(number as u64 + 1, 1));
        if index >= WINDOW {
            assert_eq!(link.expect_ack().code(), Some(0));
        }
    }
    for _ in 0..numbers.len().min(WINDOW) {
        assert_eq!(link.expect_ack().code(), Some(0));
    }
}

fn id(number: usize) -> String {
    format!("request-{number:05}")
}

/// From a few bytes to 40 KB: less than a page, and more than any buffer of stdio's.
fn body(number: usize) -> String {
    let size = [10, 300, 4000, 9000, 40_000][number % 5];
    format!("n={number}&padding={}", format!("{number:05}.").repeat(size / 6))
}

fn request(number: usize) -> Message {
    let body = body(number);
    let number = number.to_string();
    let list = [
        ("host", "shop.test"),
        ("x-number", &number),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-length", &body.len().to_string()),
    ];
    let message = Message::get("/", None).with("method", text("POST")).with("headers", headers(&list));
    let message = message.with("unique-id", text(&id(number.parse().unwrap())));
    message.with("body-size", Value::Int64(body.len() as i64)).with("body", Value::Binary(body.into_bytes()))
}

/// Checks that each request has one record, and all of its own in it.
fn assert_complete(records: &[Record]) {
    let mut seen = BTreeSet::new();
    for record in records {
        let number = record.id.strip_prefix("request-").unwrap().parse().unwrap();
        assert!(seen.insert(number), "two records of request {number}");
        assert!(record.body == body(number), "the body of request {number} is another: {record:?}");
        let own = |text: &str| record.text.contains(text);
        let quotes = ["\"", "\\\""];
        assert!(quotes.iter().any(|quote| own(&format!("number {number}{quote}"))), "no message: {record:?}");
        assert!(
            own(&format!("x-number: {number}\n")) || own(&format!("\"x-number\":\"{number}\"")),
            "{record:?}"
        );
    }
    assert_eq!(seen.len(), REQUESTS, "some have no record");
}

fn serial(isolation: &str) {
    let audited = Audited::start("SecAuditLogType Serial", isolation);
    audited.ask_all();
    let records = audit::native(&audited.log(), PARTS);
    assert_complete(&records);
    let boundaries: BTreeSet<_> = records.iter().map(|record| &record.boundary).collect();
    assert_eq!(boundaries.len(), REQUESTS, "engines use the same boundaries");
}

fn json(isolation: &str) {
    let audited = Audited::start("SecAuditLogType Serial\nSecAuditLogFormat JSON", isolation);
    audited.ask_all();
    assert_complete(&audit::json(&audited.log()));
}

fn concurrent(isolation: &str) {
    let audited = Audited::start("SecAuditLogType Concurrent", isolation);
    audited.ask_all();
    assert_complete(&audit::concurrent(&audited.log(), &audited.folder.path().join("storage"), PARTS));
}

#[test]
fn serial_with_processes() {
    serial("process");
}

#[test]
fn serial_with_threads() {
    serial("thread");
}

#[test]
fn json_with_processes() {
    json("process");
}

#[test]
fn json_with_threads() {
    json("thread");
}

#[test]
fn concurrent_with_processes() {
    concurrent("process");
}

#[test]
fn concurrent_with_threads() {
    concurrent("thread");
}

#[test]
fn a_unique_id_that_is_no_file_name_costs_no_record() {
    for id in ["a/b", "../../../../elsewhere", &"x".repeat(250)] {
        let audited = Audited::start("SecAuditLogType Concurrent", "process");
        let ack = audited.agent.link().ask(&request(1).with("unique-id", text(id)));
        let records = audit::concurrent(&audited.log(), &audited.folder.path().join("storage"), PARTS);
        let ids: Vec<_> = records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, [ack.get("id").unwrap().str()], "unique-id {id}");
    }
}
