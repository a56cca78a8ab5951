//! NOTIFY: the messages in it, their names and the numbers of their arguments. Arguments: `arguments.rs`.

use super::case::Answer::{Ack, Open};
use super::case::Verdict::{Clean, Denied, Invalid};
use super::case::{Case, attack, clean, greeted, lying, notify};
use crate::support::spop::{EIGHT, Message, TWELVE};
use crate::support::wire::{Value, sized, text};

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = [messages(), counts(), forms(), pipelined()].into_iter().flatten().collect();
    let whole = attack().encode();
    for length in 0..whole.len() {
        cases.push(notify(format!("notify: cut after {length} bytes"), &whole[..length], Invalid));
    }
    for kind in 10..16_u8 {
        let mut payload = whole.clone();
        let last = payload.len() - 2;
        payload[last] = kind;
        cases.push(notify(format!("notify: a value of type {kind}"), payload, Invalid));
    }
    cases
}

/// A message without arguments, of another purpose.
fn other(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sized(&mut out, name);
    out.push(0);
    out
}

fn messages() -> Vec<Case> {
    let all = |parts: &[Vec<u8>]| parts.concat();
    vec![
        notify("notify: a clean request", clean().encode(), Clean),
        notify("notify: an attack", attack().encode(), Denied(471)),
        notify("notify: a message of another name", clean().named("check-somehow").encode(), Invalid),
        notify("notify: a message without a name", clean().named("").encode(), Invalid),
        notify("notify: a name in capitals", clean().named("CHECK-REQUEST").encode(), Invalid),
        notify("notify: a name and a zero byte", clean().named("check-request\0").encode(), Invalid),
        notify("notify: a name of strange bytes", other(b"\xFF\r\n\x1B[2J"), Invalid),
        notify("notify: a name of 16 KB", other(&[b'n'; 16_000]), Invalid),
        notify("notify: a name of 2^64-1 bytes", lying(u64::MAX, b"check-request\0"), Invalid),
        notify("notify: a name beyond the frame", lying(20, b"check-request"), Invalid),
        notify("notify: two requests", all(&[clean().encode(), clean().encode()]), Invalid),
        notify("notify: an attack and then a request", all(&[attack().encode(), clean().encode()]), Invalid),
        notify("notify: a request and then an attack", all(&[clean().encode(), attack().encode()]), Invalid),
        notify(
            "notify: another message before an attack",
            all(&[other(b"x"), attack().encode()]),
            Denied(471),
        ),
        notify(
            "notify: another message after an attack",
            all(&[attack().encode(), other(b"x")]),
            Denied(471),
        ),
        notify("notify: 8000 other messages", other(b"").repeat(8000), Invalid),
        notify(
            "notify: 7000 messages and an attack",
            all(&[other(b"").repeat(7000), attack().encode()]),
            Denied(471),
        ),
        notify(
            "notify: half a message after a request",
            all(&[clean().encode(), b"\x01x".to_vec()]),
            Invalid,
        ),
        notify("notify: a byte after a request", all(&[clean().encode(), vec![1]]), Invalid),
        // An empty name and no arguments: a message like any other.
        notify("notify: two zeros after a request", all(&[clean().encode(), vec![0, 0]]), Clean),
        notify("notify: 16 KB of zeros", vec![0; 16_000], Invalid),
        notify("notify: 16 KB of ones", vec![0xFF; 16_000], Invalid),
    ]
}

/// The byte that says how many arguments there are.
fn counts() -> Vec<Case> {
    let at = 1 + "check-request".len();
    let mut cases = Vec::new();
    for count in (0..=255_u8).filter(|count| *count != 12) {
        if !(count < 16 || count % 16 == 15) {
            continue;
        }
        let mut payload = attack().encode();
        assert_eq!(payload[at], 12);
        payload[at] = count;
        cases.push(notify(format!("notify: 12 arguments and {count} announced"), payload, Invalid));
    }
    let mut most = clean();
    while most.arguments.len() < 255 {
        most.arguments.push(("app".to_owned(), Value::Null));
    }
    cases.push(notify("notify: 255 arguments", most.encode(), Invalid));
    let unnamed = |count| Message::new(vec![("", Value::Null); count]).encode();
    cases.push(notify("notify: 255 arguments without names and values", unnamed(255), Invalid));
    cases
}

/// Arguments without names: 8 or 12 of them, or 8 and what people append.
fn forms() -> Vec<Case> {
    let mut cases = Vec::new();
    let source = || ("".to_owned(), Value::Ipv4([192, 0, 2, 1]));
    for count in 0..8 {
        let message = attack().unnamed(&EIGHT[..count]);
        cases.push(notify(format!("notify: {count} arguments without names"), message.encode(), Invalid));
    }
    let mut message = attack().unnamed(&EIGHT);
    cases.push(notify("notify: the 8 arguments", message.encode(), Denied(471)));
    for count in 9..16 {
        message.arguments.push(source());
        cases.push(notify(
            format!("notify: {count} arguments, 8 and addresses"),
            message.encode(),
            Denied(471),
        ));
    }
    cases.push(notify("notify: the 12 arguments", attack().unnamed(&TWELVE).encode(), Denied(471)));
    let mut shuffled = TWELVE;
    shuffled.reverse();
    cases.push(notify("notify: the 12 arguments backwards", attack().unnamed(&shuffled).encode(), Invalid));
    for (what, form) in [("8", &EIGHT[..]), ("12", &TWELVE[..])] {
        for named in [0, 1, form.len() - 1] {
            let mut message = attack().unnamed(form);
            message.arguments[named].0 = form[named].to_owned();
            let name = format!("notify: the {what} arguments, and the name {} of one", form[named]);
            cases.push(notify(name, message.encode(), Invalid));
        }
    }
    let mut message = attack();
    message.arguments[0].0.clear();
    cases.push(notify("notify: names, but not for the first", message.encode(), Invalid));
    let name = |name: &str| {
        let mut message = attack();
        message.arguments.push((name.to_owned(), text("x")));
        message.encode()
    };
    for (what, key) in [
        ("misspelt", "bodyy"),
        ("in capitals", "BODY"),
        ("with a zero byte", "app\0"),
        ("with a space", "app "),
    ] {
        cases.push(notify(format!("notify: an argument's name {what}"), name(key), Invalid));
    }
    cases.push(notify("notify: an argument's name of 8 KB", name(&"n".repeat(8000)), Invalid));
    cases
}

/// Several at a time on one link. What workers inspect comes in any order; these have one worker's answer at most.
fn pipelined() -> Vec<Case> {
    let broken = |id| crate::support::wire::Frame::new(3, id, 1, vec![0xFF]).encode();
    let many: Vec<u8> = (1..=500).flat_map(broken).collect();
    let answers: Vec<_> = (1..=500).map(|id| Ack(id, 1, Invalid)).chain([Open]).collect();
    let twice = [broken(7), broken(7)].concat();
    let good = clean().notify(2, 1).encode();
    vec![
        greeted("notify: 500 broken ones in one write", many, &answers),
        greeted("notify: the same identifiers twice", twice, &[Ack(7, 1, Invalid), Ack(7, 1, Invalid), Open]),
        greeted(
            "notify: a broken one before a good one",
            [broken(1), good].concat(),
            &[Ack(1, 1, Invalid), Ack(2, 1, Clean), Open],
        ),
    ]
}
