//! HAPROXY-HELLO: every item missing, empty, of each type, twice, cut and with a lying length.

use super::case::Answer::{Bye, Close, Greeting, Open};
use super::case::{Answer, Case, first, lying};
use crate::support::spop::{hello, hello_frame};
use crate::support::wire::{Frame, HELLO, Value, text};

const ITEMS: [&str; 5] = ["supported-versions", "max-frame-size", "capabilities", "healthcheck", "engine-id"];

/// A good value of each type.
fn types() -> [(&'static str, Value); 10] {
    [
        ("NULL", Value::Null),
        ("BOOL", Value::Bool(true)),
        ("INT32", Value::Int32(16380)),
        ("UINT32", Value::Uint32(16380)),
        ("INT64", Value::Int64(16380)),
        ("UINT64", Value::Uint64(16380)),
        ("IPV4", Value::Ipv4([127, 0, 0, 1])),
        ("IPV6", Value::Ipv6([0; 16])),
        ("STRING", text("2.0")),
        ("BINARY", Value::Binary(b"2.0".to_vec())),
    ]
}

const GOOD: &[Answer] = &[Greeting, Open];

pub fn cases() -> Vec<Case> {
    let all = [each_type(), versions(), sizes(), capabilities(), others(), missing(), broken()];
    all.into_iter().flatten().collect()
}

fn with(name: &str, value: Value) -> Vec<(&str, Value)> {
    let mut items = hello();
    items.retain(|(key, _)| *key != name);
    items.push((name, value));
    items
}

fn bytes(items: Vec<(&str, Value)>) -> Vec<u8> {
    hello_frame(items).encode()
}

/// A hello with this payload.
fn payload(payload: impl Into<Vec<u8>>) -> Vec<u8> {
    Frame::new(HELLO, 0, 0, payload.into()).encode()
}

fn each_type() -> Vec<Case> {
    let mut cases = Vec::new();
    for item in ITEMS {
        for (kind, value) in types() {
            let expected = match (item, kind) {
                ("supported-versions" | "capabilities" | "engine-id", "STRING") => GOOD,
                ("max-frame-size", "INT32" | "UINT32" | "INT64" | "UINT64") => GOOD,
                // It is answered, and that is all.
                ("healthcheck", "BOOL") => &[Greeting, Close],
                _ => &[Bye(4)],
            };
            cases.push(first(format!("hello: {item} is a {kind}"), bytes(with(item, value)), expected));
        }
    }
    for (kind, value) in types() {
        let name = format!("hello: an unknown item is a {kind}");
        cases.push(first(name, bytes(with("something-new", value)), GOOD));
    }
    cases
}

fn versions() -> Vec<Case> {
    let table: [(&str, &[Answer]); 20] = [
        ("2.0,", GOOD),
        (",2.0", GOOD),
        (" 2.0 ", GOOD),
        ("1.0,2.0,3.0", GOOD),
        ("2.1", GOOD),
        ("2.99", GOOD),
        ("", &[Bye(8)]),
        (",", &[Bye(8)]),
        ("1.0", &[Bye(8)]),
        ("3.0", &[Bye(8)]),
        ("3.0,12.0", &[Bye(8)]),
        ("20", &[Bye(8)]),
        ("2", &[Bye(8)]),
        ("2.", &[Bye(8)]),
        ("2.x", &[Bye(8)]),
        ("12.0", &[Bye(8)]),
        ("-2.0", &[Bye(8)]),
        ("2.0.1", &[Bye(8)]),
        ("2.0\0", &[Bye(8)]),
        ("2,0", &[Bye(8)]),
    ];
    let case = |(versions, expected): (&str, &[Answer])| {
        first(
            format!("hello: versions {versions:?}"),
            bytes(with("supported-versions", text(versions))),
            expected,
        )
    };
    let mut cases: Vec<_> = table.into_iter().map(case).collect();
    let long = text(&"1.0,".repeat(3000));
    cases.push(first("hello: 3000 versions", bytes(with("supported-versions", long)), &[Bye(8)]));
    let bad = Value::Text(b"\xFF\xFE2.0".to_vec());
    cases.push(first("hello: versions not in UTF-8", bytes(with("supported-versions", bad)), &[Bye(8)]));
    cases
}

fn sizes() -> Vec<Case> {
    let table: [(&str, Value, &[Answer]); 12] = [
        ("0", Value::Uint32(0), &[Bye(9)]),
        ("1", Value::Uint32(1), &[Bye(9)]),
        ("255", Value::Uint32(255), &[Bye(9)]),
        ("the largest of 32 bits", Value::Uint32(u32::MAX), GOOD),
        ("the largest of 31 bits", Value::Int32(i32::MAX), GOOD),
        ("the largest of 64 bits", Value::Uint64(u64::MAX), GOOD),
        ("the largest of 63 bits", Value::Int64(i64::MAX), GOOD),
        ("-1 of 32 bits", Value::Int32(-1), &[Bye(4)]),
        ("-1 of 64 bits", Value::Int64(-1), &[Bye(4)]),
        ("the smallest of 64 bits", Value::Int64(i64::MIN), &[Bye(4)]),
        ("256", Value::Uint32(256), &[Greeting]),
        ("16384", Value::Uint32(16384), GOOD),
    ];
    let mut cases: Vec<_> = table
        .into_iter()
        .map(|(what, value, expected)| {
            first(format!("hello: frame size {what}"), bytes(with("max-frame-size", value)), expected)
        })
        .collect();
    // An integer of 33 bits that says it has 32.
    let mut wide = b"\x0Emax-frame-size\x03".to_vec();
    crate::support::wire::varint(&mut wide, 1 << 32);
    cases.push(first("hello: frame size of 33 bits in 32", payload(wide), &[Bye(4)]));
    cases
}

fn capabilities() -> Vec<Case> {
    let table = [
        "",
        ",",
        "pipelining",
        "pipelining,pipelining",
        "PIPELINING",
        "fragmentation,pipelining,async",
        "teleportation",
        "pipelining\0",
        " ",
    ];
    let case = |list: &str| {
        first(format!("hello: capabilities {list:?}"), bytes(with("capabilities", text(list))), GOOD)
    };
    let mut cases: Vec<_> = table.into_iter().map(case).collect();
    let long = text(&"pipelining,".repeat(1400));
    cases.push(first("hello: 1400 capabilities", bytes(with("capabilities", long)), GOOD));
    let bad = Value::Text(b"\xFF,\xC3\x28".to_vec());
    cases.push(first("hello: capabilities not in UTF-8", bytes(with("capabilities", bad)), GOOD));
    cases
}

fn others() -> Vec<Case> {
    let binary_name = payload([bytes(hello())[11..].to_vec(), b"\x02\xFF\0\0".to_vec()].concat());
    let check = |value| bytes(with("healthcheck", Value::Bool(value)));
    let mut backwards = hello();
    backwards.reverse();
    backwards.insert(1, ("something-new", Value::Ipv6([1; 16])));
    vec![
        first("hello: engine-id is empty", bytes(with("engine-id", text(""))), GOOD),
        first("hello: engine-id of 8 KB", bytes(with("engine-id", text(&"e".repeat(8000)))), GOOD),
        first("hello: engine-id of strange bytes", bytes(with("engine-id", text("\r\n\0\u{1b}[2J"))), GOOD),
        first("hello: healthcheck is false", check(false), GOOD),
        first("hello: healthcheck, then a notify", [check(true), clean()].concat(), &[Greeting, Close]),
        first("hello: healthcheck, then a hello", [check(true), check(true)].concat(), &[Greeting, Close]),
        first("hello: an item whose name is empty", bytes(with("", Value::Null)), GOOD),
        first("hello: an item whose name is no UTF-8", binary_name, GOOD),
        first("hello: an item in capitals", bytes(with("HEALTHCHECK", Value::Bool(true))), GOOD),
        first("hello: backwards, an unknown item among the others", bytes(backwards), GOOD),
        first("hello: 15 KB of unknown items", bytes(many(900)), GOOD),
    ]
}

fn clean() -> Vec<u8> {
    super::case::clean().notify(1, 1).encode()
}

fn many(count: usize) -> Vec<(&'static str, Value)> {
    let mut items = hello();
    items.extend((0..count).map(|_| ("something-new", Value::Null)));
    items
}

fn missing() -> Vec<Case> {
    let mut cases = vec![
        first("hello: no payload", payload(""), &[Bye(5)]),
        first("hello: only unknown items", bytes(vec![("a", Value::Null), ("b", text("2.0"))]), &[Bye(5)]),
    ];
    for (item, code) in [("supported-versions", 5), ("max-frame-size", 6), ("capabilities", 7)] {
        let mut items = hello();
        items.retain(|(key, _)| *key != item);
        cases.push(first(format!("hello: no {item}"), bytes(items), &[Bye(code)]));
    }
    for item in ITEMS {
        for (what, value) in [("the same", None), ("another", Some(Value::Null))] {
            let mut items = hello();
            items.extend([("healthcheck", Value::Bool(false)), ("engine-id", text("e"))]);
            let once = items.iter().find(|(key, _)| *key == item).unwrap().1.clone();
            items.push((item, value.unwrap_or(once)));
            cases.push(first(format!("hello: {item} again, with {what} value"), bytes(items), &[Bye(4)]));
        }
    }
    cases
}

fn broken() -> Vec<Case> {
    let whole = &bytes(hello())[11..];
    let mut cases = Vec::new();
    // The ends of the three items are no cuts: what is missing then is an item.
    let ends = [(0, 5), (24, 6), (43, 7)];
    for length in 0..whole.len() {
        let code = ends.iter().find(|(end, _)| *end == length).map_or(4, |(_, code)| *code);
        let name = format!("hello: cut after {length} bytes");
        cases.push(first(name, payload(&whole[..length]), &[Bye(code)]));
    }
    let with_tail = |tail: &[u8]| payload([whole, tail].concat());
    for kind in 10..16_u8 {
        let tail = [&b"\x01a"[..], &[kind]].concat();
        cases.push(first(format!("hello: an item of type {kind}"), with_tail(&tail), &[Bye(4)]));
    }
    // The high bits of a type are flags, which only BOOL has.
    cases.push(first("hello: a NULL with flags", with_tail(b"\x01a\xF0"), GOOD));
    cases.push(first("hello: a STRING with flags", with_tail(b"\x01a\xF8\0"), GOOD));
    for length in [1, 240, 16384, 1 << 32, u64::MAX] {
        let name = with_tail(&lying(length, b""));
        cases.push(first(format!("hello: a name of {length} bytes that are not there"), name, &[Bye(4)]));
        for kind in [8, 9] {
            let value = with_tail(&[&[1, b'a', kind][..], &lying(length, b"")].concat());
            let what = format!("hello: a value of type {kind} and of {length} bytes that are not there");
            cases.push(first(what, value, &[Bye(4)]));
        }
    }
    for (kind, what) in [(2, "INT32"), (3, "UINT32"), (4, "INT64"), (5, "UINT64")] {
        let endless = [&[1, b'a', kind][..], &[0xFF; 20]].concat();
        cases.push(first(format!("hello: {what} that never ends"), with_tail(&endless), &[Bye(4)]));
    }
    cases.push(first("hello: IPV4 of three bytes", with_tail(b"\x01a\x06\x01\x02\x03"), &[Bye(4)]));
    cases.push(first(
        "hello: IPV6 of 15 bytes",
        with_tail(&[&b"\x01a\x07"[..], &[0; 15]].concat()),
        &[Bye(4)],
    ));
    cases
}
