//! The list of headers, in both of its forms: one that is not whole could hide what stands behind.

use super::case::Verdict::{Clean, Denied, Invalid};
use super::case::{Case, Verdict, clean, lying, notify, with_zero_byte};
use crate::support::wire::{Value, sized};

/// Lists as `req.hdrs_bin` has them.
fn binary() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let one = |name: &[u8], value: &[u8]| {
        let mut out = Vec::new();
        sized(&mut out, name);
        sized(&mut out, value);
        out
    };
    let (attack, end) = (one(b"x-deny", b"header"), vec![0, 0]);
    let all = |parts: &[&[u8]]| parts.concat();
    vec![
        ("an attack", all(&[&attack, &end]), Denied(472)),
        ("no header", end.clone(), Clean),
        ("empty", Vec::new(), Invalid),
        ("no end", attack.clone(), Invalid),
        ("half an end", all(&[&attack, &[0]]), Invalid),
        ("an end and then an attack", all(&[&end, &attack, &end]), Invalid),
        ("two ends", all(&[&attack, &end, &end]), Invalid),
        ("a byte behind the end", all(&[&attack, &end, &[0]]), Invalid),
        ("a header without a name", all(&[&one(b"", b"v"), &attack, &end]), Invalid),
        ("a header without a value", all(&[&one(b"a", b""), &attack, &end]), Denied(472)),
        ("a name without end", all(&[&lying(200, b"x-deny")]), Invalid),
        ("a name of 2^64-1 bytes", all(&[&lying(u64::MAX, b"x-deny"), &end]), Invalid),
        ("a value of 2^64-1 bytes", all(&[b"\x06x-deny", &lying(u64::MAX, b"header"), &end]), Invalid),
        ("a value that takes the end with it", all(&[b"\x06x-deny", &lying(8, b"header"), &end]), Invalid),
        ("a length of more than 64 bits", vec![0xFF; 32], Invalid),
        ("zero bytes in a value", all(&[&one(b"a", b"\0\0"), &attack, &end]), with_zero_byte(Denied(472))),
        ("zero bytes in a name", all(&[&one(b"a\0b", b"v"), &attack, &end]), with_zero_byte(Denied(472))),
        ("strange bytes", all(&[&one(b"\xFF\r\n", b"\x1B[2J\n"), &attack, &end]), Denied(472)),
        ("2000 headers before an attack", all(&[&one(b"a", b"b").repeat(2000), &attack, &end]), Denied(472)),
        (
            "a value of 12 KB before an attack",
            all(&[&one(b"a", &[b'v'; 12_000]), &attack, &end]),
            Denied(472),
        ),
        ("the same header, harmless first", all(&[&one(b"x-deny", b"no"), &attack, &end]), Denied(472)),
        ("text in a BINARY", b"X-Deny: header\r\n\r\n".to_vec(), Invalid),
    ]
}

/// Lists as `req.hdrs` has them.
fn text() -> Vec<(&'static str, Vec<u8>, Verdict)> {
    vec![
        ("an attack", b"X-Deny: header\r\n\r\n".to_vec(), Denied(472)),
        ("an attack without a space", b"X-Deny:header\r\n\r\n".to_vec(), Denied(472)),
        ("an attack with line feeds alone", b"X-Deny: header\n\n".to_vec(), Denied(472)),
        ("no header", b"\r\n".to_vec(), Clean),
        ("empty", b"".to_vec(), Invalid),
        ("no end", b"X-Deny: header\r\n".to_vec(), Invalid),
        ("a line without end", b"A: b\r\nX-Deny: header".to_vec(), Invalid),
        ("an end and then an attack", b"\r\nX-Deny: header\r\n\r\n".to_vec(), Invalid),
        ("two ends", b"X-Deny: header\r\n\r\n\r\n".to_vec(), Invalid),
        ("a byte behind the end", b"X-Deny: header\r\n\r\n ".to_vec(), Invalid),
        ("a line without a colon", b"A\r\nX-Deny: header\r\n\r\n".to_vec(), Invalid),
        ("a header without a name", b": v\r\nX-Deny: header\r\n\r\n".to_vec(), Invalid),
        ("a header without a value", b"A:\r\nX-Deny: header\r\n\r\n".to_vec(), Denied(472)),
        ("a line that goes on with a space", b"A: b\r\n c\r\nX-Deny: header\r\n\r\n".to_vec(), Invalid),
        ("zero bytes", b"A\0: \0\r\nX-Deny: header\r\n\r\n".to_vec(), with_zero_byte(Denied(472))),
        ("strange bytes", b"\xFF: \x1B[2J\xFF\r\nX-Deny: header\r\n\r\n".to_vec(), Denied(472)),
        (
            "2000 headers before an attack",
            [&b"A: b\r\n".repeat(2000)[..], b"X-Deny: header\r\n\r\n"].concat(),
            Denied(472),
        ),
        ("a binary list in a STRING", b"\x06x-deny\x06header\0\0".to_vec(), Invalid),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, list, verdict) in binary() {
        let payload = clean().with("headers", Value::Binary(list)).encode();
        cases.push(notify(format!("headers as bytes: {what}"), payload, verdict));
    }
    for (what, list, verdict) in text() {
        let payload = clean().with("headers", Value::Text(list)).encode();
        cases.push(notify(format!("headers as text: {what}"), payload, verdict));
    }
    cases
}
