//! HAPROXY-DISCONNECT: whatever HAProxy gives as its reason, it is answered with 0; what cannot be read, with 4.

use super::case::Answer::Bye;
use super::case::{Case, clean, first, frame, greeted, lying};
use crate::support::wire::{DISCONNECT, FIN, Value, pairs, text};

fn payload(items: Vec<(&str, Value)>) -> Vec<u8> {
    let mut out = Vec::new();
    pairs(&mut out, items);
    out
}

fn disconnect(name: impl Into<String>, payload: &[u8], code: i64) -> Case {
    let name = format!("disconnect: {}", name.into());
    greeted(name, frame(DISCONNECT, FIN, 0, 0, payload), &[Bye(code)])
}

fn status(value: Value) -> Vec<u8> {
    payload(vec![("status-code", value), ("message", text("normal"))])
}

fn message(value: Value) -> Vec<u8> {
    payload(vec![("status-code", Value::Uint32(0)), ("message", value)])
}

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        disconnect("no payload", b"", 0),
        disconnect("no message", &payload(vec![("status-code", Value::Uint32(0))]), 0),
        disconnect("no status", &payload(vec![("message", text("normal"))]), 0),
        disconnect("unknown items", &payload(vec![("a", Value::Null), ("b", Value::Bool(true))]), 0),
        disconnect("an empty message", &message(text("")), 0),
        disconnect("a message of 16 KB", &message(text(&"m".repeat(16_000))), 0),
        disconnect("a message of strange bytes", &message(Value::Text(b"\r\n\0\xFF\x1B[2J".to_vec())), 0),
        disconnect("a message in a BINARY", &message(Value::Binary(vec![1])), 0),
        disconnect("a message that is NULL", &message(Value::Null), 4),
        disconnect("a message that is a number", &message(Value::Uint32(0)), 4),
        disconnect("a status that is NULL", &status(Value::Null), 4),
        disconnect("a status that is a BOOL", &status(Value::Bool(false)), 4),
        disconnect("a status that is a STRING", &status(text("0")), 4),
        disconnect("a status that is an IPV4", &status(Value::Ipv4([0; 4])), 4),
        disconnect("a negative status", &status(Value::Int32(-1)), 4),
        disconnect("a status of 64 bits", &status(Value::Uint64(u64::MAX)), 0),
        disconnect("a status twice", &[status(Value::Uint32(0)), status(Value::Uint32(1))].concat(), 0),
        disconnect("a value of unknown type", b"\x01a\x0A", 4),
        disconnect("a lying length", &lying(u64::MAX, b"status-code"), 4),
        disconnect("a lying length of a value", &[&b"\x07message\x08"[..], &lying(4000, b"m")].concat(), 4),
    ];
    for code in (0..=13).chain([99, 100, u32::MAX]) {
        cases.push(disconnect(format!("status {code}"), &status(Value::Uint32(code)), 0));
    }
    let whole = status(Value::Uint32(0));
    for length in 1..whole.len() {
        // The end of the first item is no cut.
        let code = if length == 14 { 0 } else { 4 };
        cases.push(disconnect(format!("cut after {length} bytes"), &whole[..length], code));
    }
    for (stream, id) in [(1, 0), (0, 1), (u64::MAX, u64::MAX)] {
        let bytes = frame(DISCONNECT, FIN, stream, id, &whole);
        cases.push(greeted(format!("disconnect: of stream {stream}, frame {id}"), bytes, &[Bye(4)]));
    }
    let bytes = frame(DISCONNECT, FIN, 0, 0, &whole);
    cases.push(greeted("disconnect: aborted", frame(DISCONNECT, 3, 0, 0, &whole), &[Bye(4)]));
    cases.push(first("disconnect: first", bytes.clone(), &[Bye(4)]));
    cases.push(greeted("disconnect: twice", bytes.repeat(2), &[Bye(0)]));
    let more = [bytes, clean().notify(1, 1).encode()].concat();
    cases.push(greeted("disconnect: and then a notify", more, &[Bye(0)]));
    cases
}
