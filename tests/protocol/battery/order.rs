//! Frames before, between and after those that are allowed.

use super::case::Answer::{Ack, Bye, Close, Greeting};
use super::case::Verdict::Invalid;
use super::case::{Answer, Case, clean, first, frame, good_hello, greeted};
use crate::support::spop::{hello, hello_frame};
use crate::support::wire::{ACK, AGENT_DISCONNECT, AGENT_HELLO, FIN, Frame, NOTIFY, Value, pairs, text};

pub fn cases() -> Vec<Case> {
    [before(), after(), between(), strangers()].into_iter().flatten().collect()
}

/// What only an agent may send.
fn agents() -> [(&'static str, Vec<u8>); 4] {
    let mut items = Vec::new();
    pairs(&mut items, [("version", text("2.0")), ("max-frame-size", Value::Uint32(16380))]);
    pairs(&mut items, [("capabilities", text("pipelining"))]);
    let mut bye = Vec::new();
    pairs(&mut bye, [("status-code", Value::Uint32(0)), ("message", text("normal"))]);
    [
        ("an AGENT-HELLO", frame(AGENT_HELLO, FIN, 0, 0, &items)),
        ("an AGENT-DISCONNECT", frame(AGENT_DISCONNECT, FIN, 0, 0, &bye)),
        ("an ACK", frame(ACK, FIN, 1, 1, b"\x01\x03\x02\x04code\x02\0")),
        ("an ACK that aborts", frame(ACK, 3, 1, 1, b"")),
    ]
}

fn before() -> Vec<Case> {
    let mut cases = vec![
        first("order: a notify first", clean().notify(1, 1).encode(), &[Bye(4)]),
        first("order: a notify of stream 0 first", clean().notify(0, 0).encode(), &[Bye(4)]),
        first(
            "order: a notify before a hello",
            [clean().notify(1, 1).encode(), good_hello()].concat(),
            &[Bye(4)],
        ),
        first("order: a hello of type notify", frame(NOTIFY, FIN, 0, 0, &good_hello()[11..]), &[Bye(4)]),
    ];
    for (what, bytes) in agents() {
        cases.push(first(format!("order: {what} first"), bytes, &[Bye(4)]));
    }
    cases
}

fn between() -> Vec<Case> {
    // A broken one is answered on the spot; what a worker has when the link ends is not waited for.
    let broken = Frame::new(NOTIFY, 1, 1, vec![0xFF]).encode();
    let ack: &[Answer] = &[Ack(1, 1, Invalid)];
    let mut cases = vec![
        greeted("order: a hello again", good_hello(), &[Bye(4)]),
        greeted(
            "order: a hello after a notify",
            [broken.clone(), good_hello()].concat(),
            &[ack, &[Bye(4)]].concat(),
        ),
        greeted("order: a hello with other items", frame(1, FIN, 0, 0, b""), &[Bye(4)]),
    ];
    for (what, bytes) in agents() {
        cases.push(greeted(format!("order: {what} after the handshake"), bytes.clone(), &[Bye(4)]));
        let both = [broken.clone(), bytes].concat();
        cases.push(greeted(format!("order: {what} after a notify"), both, &[ack, &[Bye(4)]].concat()));
    }
    cases
}

/// Nothing is read after what ends the link, however much of it comes.
fn after() -> Vec<Case> {
    let notify = clean().notify(1, 1).encode();
    let rejected = frame(99, FIN, 0, 0, b"");
    let mut check = hello();
    check.push(("healthcheck", Value::Bool(true)));
    let check = hello_frame(check).encode();
    vec![
        greeted(
            "order: a notify after what is refused",
            [rejected.clone(), notify.clone()].concat(),
            &[Bye(4)],
        ),
        greeted("order: a hello after what is refused", [rejected.clone(), good_hello()].concat(), &[Bye(4)]),
        greeted(
            "order: 100 KB after what is refused",
            [rejected.clone(), vec![0xFF; 100_000]].concat(),
            &[Bye(4)],
        ),
        greeted("order: twice what is refused", rejected.repeat(2), &[Bye(4)]),
        first("order: a hello after a hello that is refused", [rejected, good_hello()].concat(), &[Bye(4)]),
        first("order: garbage after a health check", [check, vec![0xFF; 1000]].concat(), &[Greeting, Close]),
    ]
}

/// Those who have the wrong door.
fn strangers() -> Vec<Case> {
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03";
    let wrong: [(&str, &[u8]); 10] = [
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("a TLS ClientHello", tls),
        ("SSH", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        ("the PROXY protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 12345\r\n"),
        ("the PROXY protocol, version 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C"),
        ("SMTP", b"EHLO shop.test\r\n"),
        ("line feeds", b"\n\n\n\n\n\n\n\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n"),
        ("FastCGI", b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0"),
    ];
    let mut cases: Vec<_> =
        wrong.into_iter().map(|(what, bytes)| first(format!("stranger: {what}"), bytes, &[Bye(3)])).collect();
    cases.push(greeted(
        "stranger: HTTP after the handshake",
        b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
        &[Bye(3)],
    ));
    cases.push(greeted("stranger: TLS after the handshake", tls, &[Bye(3)]));
    cases
}
