//! What the built-in settings let through: bodies of types that are inspected, and no more cookies, arguments and values
//! than can be inspected in time.

use crate::support::agent::Agent;
use crate::support::spop::{Ack, Message, hello};
use crate::support::wire::{Value, headers, text};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const ATTACK: &str = "<script>alert(1)</script>";

/// A frame for the longest body.
const FRAME: u32 = 1 << 20;

struct Request<'a> {
    kind: Option<&'a str>,
    query: Option<&'a str>,
    cookies: Option<&'a str>,
    body: &'a str,
}

const EMPTY: Request = Request { kind: None, query: None, cookies: None, body: "" };

fn ask(agent: &Agent, request: &Request) -> Ack {
    let size = request.body.len().to_string();
    let mut fields =
        vec![("host", "shop.test"), ("user-agent", "curl"), ("accept", "*/*"), ("content-length", &size[..])];
    fields.extend(request.kind.map(|kind| ("content-type", kind)));
    fields.extend(request.cookies.map(|cookies| ("cookie", cookies)));
    let mut link = agent.connect();
    let mut items = hello();
    items[1].1 = Value::Uint32(FRAME);
    link.greet(items);
    link.ask(
        &Message::get("/", request.query)
            .with("method", text("POST"))
            .with("headers", headers(&fields))
            .with("body", Value::Binary(request.body.as_bytes().to_vec()))
            .with("body-size", Value::Int64(request.body.len() as i64)),
    )
}

/// Asserts the verdict: none, or the status and the rule that denied.
fn assert_verdict(agent: &Agent, what: &str, request: &Request, denied: Option<(i64, &str)>) {
    let ack = ask(agent, request);
    let (status, rule) = denied.unwrap_or((0, ""));
    assert_eq!((ack.code(), ack.error()), (Some(status), None), "{what}: {ack:?}");
    let rules = ack.get("rule_ids").map_or("", Value::str);
    assert!(rules.contains(rule), "{what}: denied by {rules}");
}

fn agent() -> Agent {
    Agent::start(&["--max-frame-size", &FRAME.to_string()])
}

#[test]
fn a_body_of_no_type_is_refused() {
    let agent = agent();
    let form = format!("a={ATTACK}");
    let json = format!("{{\"a\":\"{ATTACK}\"}}");
    let part = format!("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{ATTACK}\r\n--x--\r\n");
    for body in [&form, &json, &part] {
        let no_type = Some((400, "8700004"));
        assert_verdict(&agent, "no Content-Type", &Request { body, ..EMPTY }, no_type);
        for kind in [
            "",
            " ",
            ";",
            "; boundary=x",
            "json",
            "/json",
            "application/",
            "multipart/related; boundary=x",
            "Multipart/Mixed; boundary=x",
        ] {
            assert_verdict(
                &agent,
                kind,
                &Request { kind: Some(kind), body, ..EMPTY },
                Some((400, "8700011")),
            );
        }
        // The Core Rule Set's own rule.
        for kind in ["text/plain", "application/octet-stream", "application/jsonp"] {
            assert_verdict(&agent, kind, &Request { kind: Some(kind), body, ..EMPTY }, Some((403, "920420")));
        }
    }
    assert_verdict(&agent, "no body", &EMPTY, None);
    for (kind, body) in
        [(FORM, "a=b"), ("Application/JSON;charset=UTF-8", "{}"), ("text/xml ; charset=utf-8", "<a/>")]
    {
        assert_verdict(&agent, kind, &Request { kind: Some(kind), body, ..EMPTY }, None);
    }
}

/// A list of `count` items, each made from its number.
fn many(count: usize, between: &str, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(between)
}

#[test]
fn cookies_are_bounded() {
    let agent = agent();
    for (what, one) in [("named", "a=b"), ("bare", "a")] {
        for (count, denied) in [(200, None), (201, Some((400, "8700010"))), (3500, Some((400, "8700010")))] {
            let cookies = many(count, "; ", |_| one.to_owned());
            assert_verdict(
                &agent,
                &format!("{count} {what}"),
                &Request { cookies: Some(&cookies), ..EMPTY },
                denied,
            );
        }
    }
    let cookies = many(200, "; ", |number| format!("a{number}={}", if number == 199 { ATTACK } else { "b" }));
    assert_verdict(&agent, "an attack", &Request { cookies: Some(&cookies), ..EMPTY }, Some((403, "941100")));
}

#[test]
fn arguments_of_queries_and_forms_are_bounded() {
    let agent = agent();
    for (count, is_denied) in [(1000, false), (1001, true), (5000, true)] {
        let all = many(count, "&", |number| format!("a{number}=b"));
        let (kind, what) = (Some(FORM), format!("{count} arguments"));
        // Above SecArgumentsLimit, ModSecurity 2.9 has no more than that.
        let rule = |rule| is_denied.then_some((400, rule));
        assert_verdict(&agent, &what, &Request { kind, query: Some(&all), ..EMPTY }, rule("8700008"));
        assert_verdict(&agent, &what, &Request { kind, body: &all, ..EMPTY }, rule("87000"));
        let parts =
            many(count, "", |n| format!("--x\r\nContent-Disposition: form-data; name=\"a{n}\"\r\n\r\nb\r\n"));
        let (kind, body) = (Some("multipart/form-data; boundary=x"), &format!("{parts}--x--\r\n"));
        assert_verdict(&agent, &what, &Request { kind, body, ..EMPTY }, rule("87000"));
    }
    let form = many(1000, "&", |number| format!("a{number}={}", if number == 999 { ATTACK } else { "b" }));
    assert_verdict(
        &agent,
        "an attack",
        &Request { kind: Some(FORM), body: &form, ..EMPTY },
        Some((403, "941100")),
    );
}

#[test]
fn an_api_has_thousands_of_values() {
    let agent = agent();
    let array = |count, last: &str| {
        format!(
            "[{}]",
            many(count, ",", |n| format!("\"{}\"", if n + 1 == count { last } else { "some words of text" }))
        )
    };
    for (count, last, denied) in [
        (3000, "clean", None),
        (3000, ATTACK, Some((403, "941100"))),
        (3499, "clean", None),
        (3501, "clean", Some((400, "87000"))),
        (7000, ATTACK, Some((400, "87000"))),
    ] {
        let request = Request { kind: Some(JSON), body: &array(count, last), ..EMPTY };
        assert_verdict(&agent, &format!("{count} values, the last {last}"), &request, denied);
    }
}
