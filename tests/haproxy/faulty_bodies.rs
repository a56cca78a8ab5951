//! Attacks that an application may read and the engine's parser does not, with the built-in settings and the Core Rule
//! Set: is each denied, also with so much behind it that HAProxy cuts the body?

use crate::support::agent::Agent;
use crate::support::haproxy::Haproxy;

const ATTACK: &str = "' or 1=1-- -";
const JSON: &str = "Content-Type: application/json";
const XML: &str = "Content-Type: text/xml";
const PART: &str = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n' or 1=1-- -\r\n--x--\r\n";

/// What HAProxy has no room for, behind a body.
const PADDING: usize = 20_000;

#[test]
fn an_attack_in_a_faulty_body_is_denied_and_padding_does_not_help() {
    let agent = Agent::start(&[]);
    let haproxy = Haproxy::start(agent.address());
    let json = format!("{{\"a\":\"{ATTACK}\"}}");
    let table = [
        ("byte order mark", JSON, format!("\u{feff}{json}"), 400),
        ("comment", JSON, format!("/**/{json}"), 400),
        ("single quotes", JSON, "{'a':'<script>alert(1)</script>'}".to_owned(), 400),
        ("two values", JSON, format!("{{}}{json}"), 400),
        ("a wrong end", XML, format!("<a><b>{ATTACK}</c></a>"), 400),
        ("no quotes", XML, "<a b=<script>alert(1)</script>/>".to_owned(), 400),
        ("two boundaries", "Content-Type: multipart/form-data; boundary=x; boundary=y", PART.to_owned(), 400),
        ("a preamble", "Content-Type: multipart/form-data; boundary=x", format!("hello\r\n{PART}"), 400),
        ("no type", "Content-Type:", json.clone(), 400),
        ("multipart/related", "Content-Type: multipart/related; boundary=x", PART.to_owned(), 400),
        ("JSON", JSON, json.clone(), 403),
        ("XML", XML, format!("<a><b>{ATTACK}</b></a>"), 403),
    ];
    for (what, kind, body, status) in table {
        for padding in [0, PADDING] {
            let body = format!("{body}{}", " ".repeat(padding));
            let answer = haproxy.curl("/", &["--data-binary", &body, "-H", kind, "-H", "Expect:"]);
            assert_eq!(answer.status, status, "{what} and {padding} blanks: {answer:?}");
            assert_eq!(answer.verdict.truncated, padding > 0, "{what}: {answer:?}");
        }
    }
}

#[test]
fn what_was_cut_within_its_value_is_inspected_and_not_denied_for_that() {
    let agent = Agent::start(&[]);
    let haproxy = Haproxy::start(agent.address());
    let part = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
    for (kind, before) in [
        ("Content-Type: application/x-www-form-urlencoded", "a="),
        (JSON, "{\"a\":[\""),
        (XML, "<a><b>"),
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
