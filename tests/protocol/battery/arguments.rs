//! The arguments of a request: each of each type, missing, twice, and with a lying length.

use super::case::Verdict::{Clean, Denied, Invalid};
use super::case::{Case, Verdict, attack, clean, lying, notify};
use crate::support::spop::Message;
use crate::support::wire::{Value, sized, text, varint};

/// For each argument, what becomes of a request when it has the types NULL, BOOL, INT32, UINT32, INT64, UINT64, IPV4,
/// IPV6, STRING and BINARY: `.` is inspected (and clean), `x` is invalid. Last, what becomes of it without the argument.
///
/// A request without path and query is one for `*`, and one with a query alone is invalid.
const TABLE: [(&str, &str, char); 16] = [
    ("app", ".xxxxxxx..", '.'),
    ("unique-id", ".xxxxxxx..", '.'),
    ("src-ip", ".xxxxx..xx", '.'),
    ("src-port", ".x....xx..", '.'),
    ("dst-ip", ".xxxxx..xx", '.'),
    ("dst-port", ".x....xx..", '.'),
    ("method", "xxxxxxxx..", 'x'),
    ("path", "xxxxxxxx..", 'x'),
    ("query", ".xxxxxxx..", '.'),
    ("version", ".xxxxxxx..", '.'),
    ("headers", "xxxxxxxxxx", '.'),
    ("body-size", ".x....xxxx", '.'),
    ("body", ".xxxxxxx..", '.'),
    ("exportRuleIDs", "..xxxxxxxx", '.'),
    ("detect-only", "..xxxxxxxx", '.'),
    ("ignorerules", ".xxxxxxx..", '.'),
];

/// Values that no argument but a number can take wrongly.
fn types() -> [(&'static str, Value); 10] {
    [
        ("NULL", Value::Null),
        ("BOOL", Value::Bool(true)),
        ("INT32", Value::Int32(80)),
        ("UINT32", Value::Uint32(80)),
        ("INT64", Value::Int64(80)),
        ("UINT64", Value::Uint64(80)),
        ("IPV4", Value::Ipv4([192, 0, 2, 1])),
        ("IPV6", Value::Ipv6([1; 16])),
        ("STRING", text("80")),
        ("BINARY", Value::Binary(b"80".to_vec())),
    ]
}

fn verdict(cell: char) -> Verdict {
    if cell == '.' { Clean } else { Invalid }
}

/// A clean request with all arguments, those of other agents among them.
fn full() -> Message {
    let mut message = clean();
    message.arguments.push(("app".to_owned(), text("shop")));
    message.arguments.push(("exportRuleIDs".to_owned(), Value::Bool(true)));
    message.arguments.push(("detect-only".to_owned(), Value::Bool(false)));
    message.arguments.push(("ignorerules".to_owned(), text("11")));
    message
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (argument, row, missing) in TABLE {
        for ((kind, value), cell) in types().into_iter().zip(row.chars()) {
            let payload = full().with(argument, value).encode();
            cases.push(notify(format!("argument {argument} is a {kind}"), payload, verdict(cell)));
        }
        let payload = full().without(&[argument]).encode();
        cases.push(notify(format!("argument {argument} is missing"), payload, verdict(missing)));
        let mut twice = full();
        let again = twice.arguments.iter().find(|(name, _)| name == argument).unwrap().clone();
        twice.arguments.push(again);
        cases.push(notify(format!("argument {argument} twice"), twice.encode(), Invalid));
        for length in [10, 1 << 14, u64::MAX] {
            let payload = ended_by(argument, &[&[9][..], &lying(length, b"abc")].concat());
            cases.push(notify(
                format!("argument {argument} of {length} bytes, of which 3 are there"),
                payload,
                Invalid,
            ));
        }
    }
    cases.extend(aliases());
    cases.extend(values());
    cases
}

/// A request whose last argument has these bytes as its value, its type among them.
fn ended_by(argument: &str, value: &[u8]) -> Vec<u8> {
    let mut payload = full().without(&[argument]).encode();
    let count = 1 + "check-request".len();
    payload[count] += 1;
    sized(&mut payload, argument.as_bytes());
    payload.extend_from_slice(value);
    payload
}

/// The same argument under both of its names.
fn aliases() -> Vec<Case> {
    let pairs = [
        ("unique-id", "id"),
        ("src-ip", "ip"),
        ("dst-ip", "srvip"),
        ("dst-port", "srvport"),
        ("version", "reqver"),
        ("headers", "reqhdrs"),
        ("body", "reqbody"),
    ];
    let case = |(name, alias): (&str, &str)| {
        let mut message = attack();
        let value = message.arguments.iter().find(|(key, _)| key == name).unwrap().1.clone();
        message.arguments.push((alias.to_owned(), value));
        notify(format!("argument {name} under both its names"), message.encode(), Invalid)
    };
    pairs.into_iter().map(case).collect()
}

fn values() -> Vec<Case> {
    let attack = |what: &str, name: &str, value: Value, verdict: Verdict| {
        notify(format!("argument {name}: {what}"), attack().with(name, value).encode(), verdict)
    };
    let mut cases = vec![
        attack("empty", "unique-id", text(""), Denied(471)),
        attack("16 KB", "unique-id", text(&"u".repeat(15_000)), Denied(471)),
        attack("strange bytes", "unique-id", Value::Text(b"\r\n\0\xFF\x1B[2J".to_vec()), Denied(471)),
        attack("an address as text", "src-ip", text("192.0.2.1"), Denied(471)),
        attack("an IPv6 address as text", "src-ip", text("2001:db8::1"), Denied(471)),
        attack("no address", "src-ip", text("localhost"), Invalid),
        attack("empty", "src-ip", text(""), Invalid),
        attack("not in UTF-8", "src-ip", Value::Text(vec![0xFF; 4]), Invalid),
        attack("a zero byte", "src-ip", text("192.0.2.1\0"), Invalid),
        attack("65535", "src-port", Value::Int64(65535), Denied(471)),
        attack("65536", "src-port", Value::Int64(65536), Invalid),
        attack("-1", "src-port", Value::Int64(-1), Invalid),
        attack("the largest", "src-port", Value::Uint64(u64::MAX), Invalid),
        attack("65536 as text", "src-port", text("65536"), Invalid),
        attack("empty", "src-port", text(""), Invalid),
        attack("empty", "method", text(""), Invalid),
        attack("a zero byte", "method", text("GET\0"), Invalid),
        attack("a letter", "method", text("G"), Denied(471)),
        attack("4 KB", "method", text(&"M".repeat(4000)), Denied(471)),
        attack("strange bytes", "method", Value::Text(b"\xFF\r\n ".to_vec()), Denied(471)),
        attack("empty", "path", text(""), Denied(471)),
        attack("a zero byte", "path", text("/\0"), Invalid),
        attack("strange bytes", "path", Value::Text(b"/\xFF\r\n\x1B".to_vec()), Denied(471)),
        attack("empty", "query", text(""), Clean),
        attack("a zero byte", "query", text("a=\0&deny=query"), Invalid),
        attack("a zero byte behind", "query", text("deny=query\0"), Invalid),
        attack(
            "10 KB before an attack",
            "query",
            text(&format!("a={}&deny=query", "b".repeat(10_000))),
            Denied(471),
        ),
        attack(
            "500 arguments before an attack",
            "query",
            text(&format!("{}deny=query", "a=b&".repeat(500))),
            Denied(471),
        ),
        attack("empty", "version", text(""), Denied(471)),
        attack("strange bytes", "version", text("\r\n"), Denied(471)),
        attack("a zero byte", "version", text("1.1\0"), Invalid),
        attack("HTTP/ alone", "version", text("HTTP/"), Denied(471)),
        attack("-1", "body-size", Value::Int64(-1), Invalid),
        attack("the smallest", "body-size", Value::Int64(i64::MIN), Invalid),
        attack("the largest", "body-size", Value::Uint64(u64::MAX), Denied(471)),
    ];
    // An integer of more bits than its type has, and one that never ends.
    for (kind, what) in [(2, "INT32"), (3, "UINT32")] {
        let mut wide = vec![kind];
        varint(&mut wide, 1 << 33);
        cases.push(notify(
            format!("argument body-size: {what} of 34 bits"),
            ended_by("body-size", &wide),
            Invalid,
        ));
    }
    for (kind, what) in [(2, "INT32"), (3, "UINT32"), (4, "INT64"), (5, "UINT64")] {
        let endless = [&[kind][..], &[0xFF; 20]].concat();
        cases.push(notify(
            format!("argument body-size: {what} without end"),
            ended_by("body-size", &endless),
            Invalid,
        ));
    }
    for (kind, what, length) in [(6, "IPV4", 3), (7, "IPV6", 15)] {
        let short = [&[kind][..], &vec![1; length]].concat();
        cases.push(notify(
            format!("argument src-ip: {what} of {length} bytes"),
            ended_by("src-ip", &short),
            Invalid,
        ));
    }
    cases
}
