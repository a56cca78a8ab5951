//! The arguments of a response.

use super::case::Verdict::{Clean, Invalid};
use super::case::{Case, Verdict, notify};
use crate::support::spop::Message;
use crate::support::wire::{Value, headers, text};

/// As in `arguments.rs`: by type, and without the argument.
const TABLE: [(&str, &str, char); 7] = [
    ("app", ".xxxxxxx..", '.'),
    ("id", ".xxxxxxx..", '.'),
    ("status", "xx....xx..", 'x'),
    ("version", ".xxxxxxx..", '.'),
    ("headers", "xxxxxxxxxx", '.'),
    ("body-size", ".x....xxxx", '.'),
    ("body", ".xxxxxxx..", '.'),
];

/// A page whose transaction nobody knows: it is inspected on its own.
fn response() -> Message {
    let arguments = vec![
        ("app", text("shop")),
        ("id", text("11111111-2222-3333-4444-555555555555")),
        ("status", Value::Int64(200)),
        ("version", text("1.1")),
        ("headers", headers(&[("content-type", "text/html")])),
        ("body-size", Value::Int64(2)),
        ("body", Value::Binary(b"ok".to_vec())),
    ];
    Message::new(arguments).named("check-response")
}

fn types() -> [(&'static str, Value); 10] {
    [
        ("NULL", Value::Null),
        ("BOOL", Value::Bool(true)),
        ("INT32", Value::Int32(200)),
        ("UINT32", Value::Uint32(200)),
        ("INT64", Value::Int64(200)),
        ("UINT64", Value::Uint64(200)),
        ("IPV4", Value::Ipv4([192, 0, 2, 1])),
        ("IPV6", Value::Ipv6([1; 16])),
        ("STRING", text("200")),
        ("BINARY", Value::Binary(b"200".to_vec())),
    ]
}

fn verdict(cell: char) -> Verdict {
    if cell == '.' { Clean } else { Invalid }
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (argument, row, missing) in TABLE {
        for ((kind, value), cell) in types().into_iter().zip(row.chars()) {
            let payload = response().with(argument, value).encode();
            cases.push(notify(format!("response: {argument} is a {kind}"), payload, verdict(cell)));
        }
        let payload = response().without(&[argument]).encode();
        cases.push(notify(format!("response: {argument} is missing"), payload, verdict(missing)));
        let mut twice = response();
        let again = twice.arguments.iter().find(|(name, _)| name == argument).unwrap().clone();
        twice.arguments.push(again);
        cases.push(notify(format!("response: {argument} twice"), twice.encode(), Invalid));
    }
    let with = |what: &str, name: &str, value: Value, verdict: Verdict| {
        notify(format!("response: {name}: {what}"), response().with(name, value).encode(), verdict)
    };
    cases.extend([
        with("empty", "id", text(""), Clean),
        with(
            "a ticket of a worker that there is not",
            "id",
            text(&format!("{}-999-1", "0".repeat(32))),
            Clean,
        ),
        with("a ticket of a huge worker", "id", text(&format!("{}-{}-1", "0".repeat(32), u64::MAX)), Clean),
        with("strange bytes", "id", Value::Text(b"\xFF\0\r\n".to_vec()), Clean),
        with("16 KB", "id", text(&"i".repeat(15_000)), Clean),
        with("-1", "status", Value::Int64(-1), Invalid),
        with("65536", "status", Value::Int64(65536), Invalid),
        with("0", "status", Value::Int64(0), Clean),
        with("no number", "status", text("OK"), Invalid),
        with("empty", "status", text(""), Invalid),
        with("a zero byte", "version", text("1.1\0"), Invalid),
    ]);
    for name in ["method", "path", "query", "src-ip"] {
        let mut message = response();
        message.arguments.push((name.to_owned(), text("x")));
        cases.push(notify(format!("response: with a {name}"), message.encode(), Invalid));
    }
    let both = [response().encode(), super::case::clean().encode()].concat();
    cases.push(notify("response: together with a request", both, Invalid));
    let order = ["id", "status", "version", "headers", "body-size", "body"];
    for count in 0..6 {
        let message = response().unnamed(&order[..count]).named("check-response");
        let name = format!("response: {count} arguments without names");
        cases.push(notify(name, message.encode(), Invalid));
    }
    let message = response().unnamed(&order).named("coraza-res");
    cases.push(notify("response: the 6 arguments without names", message.encode(), Clean));
    cases
}
