//! Ways that once let an attack through: each request gets its verdict through HAProxy, and straight over SPOP.

use crate::support::client::Answer;
use crate::support::haproxy::{Haproxy, version};
use crate::support::site::shared;
use crate::support::spop::{Ack, Message};
use crate::support::waiting::uninterrupted;
use crate::support::wire::{Value, headers, text};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

/// A target and the verdict on it.
const TARGETS: [(&str, i64); 7] = [
    // libmodsecurity before 3.0.12 hides what stands behind an escaped question mark (CVE-2024-1019).
    ("/x%3F%3Cscript%3Ealert(1)%3C/script%3E", 403),
    ("/x%3f%3Cscript%3Ealert(1)%3C/script%3E?a=b", 403),
    ("/a%3Fb/%3Cscript%3Ealert(1)%3C/script%3E/", 403),
    ("/x%23%3Cscript%3Ealert(1)%3C/script%3E", 403),
    ("/x%00%3Cscript%3Ealert(1)%3C/script%3E", 403),
    ("/what%3F/is%3Fthis?really%3F", 0),
    ("/what%253F", 0),
];

const ATTACK: &str = "' or 1=1-- -";
const JSON: &str = "application/json";
const XML: &str = "text/xml";
const FORM: &str = "application/x-www-form-urlencoded";
const PART: &str = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n' or 1=1-- -\r\n--x--\r\n";

/// What HAProxy has no room for, behind a body.
const PADDING: usize = 20_000;

/// Bytes of a body that HAProxy's buffer holds, or less.
const ROOM: usize = 15_000;

#[test]
fn a_target_gets_its_verdict() {
    let mut link = shared().agent.link();
    let wrong: Vec<_> = TARGETS
        .into_iter()
        .filter_map(|(target, expected)| {
            let through = shared().haproxy.curl(target, &[]).verdict.code;
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            let straight = link.ask(&Message::get(path, query)).code();
            let right = through == Some(expected) && straight == Some(expected);
            (!right).then_some((target, expected, through, straight))
        })
        .collect();
    assert!(wrong.is_empty(), "target, expected, through HAProxy, straight: {wrong:#?}");
}

/// A body, which applications may read and the engine's parser does not, or the other way round; and the verdict on it.
fn bodies() -> [(&'static str, &'static str, String, i64); 15] {
    let json = format!("{{\"a\":\"{ATTACK}\"}}");
    [
        ("byte order mark", JSON, format!("\u{feff}{json}"), 400),
        ("comment", JSON, format!("/**/{json}"), 400),
        ("single quotes", JSON, "{'a':'<script>alert(1)</script>'}".to_owned(), 400),
        ("two values", JSON, format!("{{}}{json}"), 400),
        ("a wrong end", XML, format!("<a><b>{ATTACK}</c></a>"), 400),
        ("no quotes", XML, "<a b=<script>alert(1)</script>/>".to_owned(), 400),
        ("two boundaries", "multipart/form-data; boundary=x; boundary=y", PART.to_owned(), 400),
        ("a preamble", "multipart/form-data; boundary=x", format!("hello\r\n{PART}"), 400),
        ("no type", "", json.clone(), 400),
        ("multipart/related", "multipart/related; boundary=x", PART.to_owned(), 400),
        ("a type in capitals", "Application/JSON", json.clone(), 403),
        ("a type of JSON's", "application/vnd.api+json", json.clone(), 403),
        ("JSON", JSON, json, 403),
        ("XML", XML, format!("<a><b>{ATTACK}</b></a>"), 403),
        ("a form", FORM, format!("a=b&c={ATTACK}"), 403),
    ]
}

fn through(kind: &str, body: &str) -> Answer {
    let kind = format!("Content-Type: {kind}");
    shared().haproxy.curl("/", &["--data-binary", body, "-H", kind.trim_end(), "-H", "Expect:"])
}

fn straight(kind: &str, body: &str) -> Ack {
    let mut list = vec![("host", "shop.test"), ("user-agent", "curl/7.88.1"), ("accept", "*/*")];
    if !kind.is_empty() {
        list.push(("content-type", kind));
    }
    let length = body.len().to_string();
    list.push(("content-length", &length));
    let seen = body.as_bytes()[..body.len().min(ROOM)].to_vec();
    let message = Message::get("/", None).with("method", text("POST")).with("headers", headers(&list));
    let message =
        message.with("body-size", Value::Int64(body.len() as i64)).with("body", Value::Binary(seen));
    shared().agent.link().ask(&message)
}

#[test]
fn a_body_gets_its_verdict_and_blanks_behind_it_change_nothing() {
    let mut wrong = Vec::new();
    for (what, kind, body, expected) in bodies() {
        for padding in [0, PADDING] {
            let body = format!("{body}{}", " ".repeat(padding));
            let (through, straight) = (through(kind, &body), straight(kind, &body));
            let is_cut = through.verdict.truncated;
            if [through.verdict.code, straight.code()] != [Some(expected); 2] || is_cut != (padding > 0) {
                wrong.push((what, padding, expected, through, straight));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_was_cut_within_its_value_is_inspected_and_not_denied_for_that() {
    let haproxy = &shared().haproxy;
    let part = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
    for (kind, before) in [
        ("Content-Type: application/x-www-form-urlencoded", "a="),
        ("Content-Type: application/json", "{\"a\":[\""),
        ("Content-Type: text/xml", "<a><b>"),
        ("Content-Type: multipart/form-data; boundary=x", part),
    ] {
        for (text, status) in [("clean", 200), ("../../../etc/passwd", 403)] {
            let body = format!("{before}{text}{}", " word".repeat(PADDING / 5));
            let answer = haproxy.curl("/", &["--data-binary", &body, "-H", kind, "-H", "Expect:"]);
            assert_eq!(
                (answer.status, answer.verdict.truncated),
                (status, true),
                "{kind}, {text}: {answer:?}"
            );
        }
    }
}

/// A request with a trailer, which is announced or not.
fn with_trailer(announcement: &str) -> String {
    format!(
        "POST /form HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\nConnection: close\r\n{announcement}\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\na=b\r\n0\r\nX-Trailer: <script>alert(1)</script>\r\n\r\n"
    )
}

/// An application that hands over what it got, up to the end of the body, and answers.
fn application() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            thread::spawn(move || serve(stream.unwrap(), &sender));
        }
    });
    (address, received)
}

fn serve(mut stream: TcpStream, sender: &mpsc::Sender<String>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        // HAProxy's health checks connect and say nothing.
        let Ok(1..) = uninterrupted(|| stream.read(&mut buffer)).inspect(|&length| {
            request.extend_from_slice(&buffer[..length]);
        }) else {
            return;
        };
        let text = String::from_utf8_lossy(&request);
        if text.contains("\r\n0\r\n") && text.ends_with("\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
            sender.send(text.into_owned()).unwrap();
            return;
        }
    }
}

#[test]
fn no_trailer_reaches_the_application_that_no_agent_was_shown() {
    let (address, received) = application();
    let haproxy = Haproxy::start_with(shared().agent.address(), &[("APP_SERVER", &address)]);
    if version() < (3, 2) {
        // It cannot drop trailers: a request that announces one is refused.
        assert_eq!(haproxy.raw(with_trailer("Trailer: X-Trailer\r\n").as_bytes()).status, 400);
        return;
    }
    for announcement in ["", "Trailer: X-Trailer\r\n"] {
        let answer = haproxy.raw(with_trailer(announcement).as_bytes());
        assert_eq!((answer.status, answer.verdict.code), (200, Some(0)), "{answer:?}");
        let request = received.recv_timeout(crate::support::PATIENCE).unwrap();
        assert!(request.contains("a=b") && !request.contains("<script>"), "{request}");
    }
}
