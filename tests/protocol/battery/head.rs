//! The head of a frame: its length, type, flags and identifiers.

use super::case::Answer::{Ack, Bye, Close, Greeting, Open};
use super::case::Verdict::{Clean, Denied};
use super::case::{Case, attack, bytes_of_length, clean, first, frame, good_hello, greeted};
use crate::support::spop::{hello, hello_frame};
use crate::support::wire::{FIN, HELLO, NOTIFY, Value, text};

/// Types that SPOP does not have.
const UNKNOWN: [u8; 10] = [4, 5, 9, 99, 100, 104, 127, 128, 254, 255];

/// An integer of more than 64 bits.
const HUGE: &[u8] = b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F";

pub fn cases() -> Vec<Case> {
    [lengths_before_hello(), lengths(), types(), flags(), identifiers()].into_iter().flatten().collect()
}

fn lengths_before_hello() -> Vec<Case> {
    let hello = good_hello();
    let last = hello.len() - 1;
    let mut longer = hello.clone();
    longer[3] += 1;
    let mut shorter = hello.clone();
    shorter[3] -= 1;
    let mut cases = vec![
        first("no byte at all", "", &[Close]).then_ends(),
        first("one byte of a length", "\0", &[Close]).then_ends(),
        first("three bytes of a length", "\0\0\0", &[Close]).then_ends(),
        first("a length alone", "\0\0\0\x40", &[Close]).then_ends(),
        first("a hello without its last byte", &hello[..last], &[Close]).then_ends(),
        first("a hello without its first byte", &hello[1..], &[Bye(3)]),
        first("a hello that says it has a byte more", longer, &[Close]).then_ends(),
        first("a hello that says it has a byte less", shorter, &[Bye(4)]),
        first("a hello in the other byte order", b"\x40\0\0\0\x01\0\0\0\x01\0\0", &[Bye(3)]),
        first("16384 bytes announced", b"\0\0\x40\0\x01\0\0\0\x01\0\0", &[Close]).then_ends(),
        first("16385 bytes announced", b"\0\0\x40\x01\x01\0\0\0\x01\0\0", &[Bye(3)]),
        first("16385 bytes announced and no more", b"\0\0\x40\x01", &[Bye(3)]),
        first("2 GiB announced", b"\x7F\xFF\xFF\xFF", &[Bye(3)]),
        first("4 GiB announced", b"\xFF\xFF\xFF\xFF", &[Bye(3)]),
    ];
    for length in 0..7_u8 {
        let bytes = [&[0, 0, 0, length], &b"\x01\0\0\0\x01\0\0"[..usize::from(length)]].concat();
        cases.push(first(format!("a first frame of {length} bytes"), bytes, &[Bye(4)]));
    }
    cases
}

fn lengths() -> Vec<Case> {
    let good = clean().notify(1, 1).encode();
    let last = good.len() - 1;
    let mut longer = good.clone();
    longer[3] += 1;
    // As long as the handshake allows, 16380 bytes, and one more.
    let sized = |length: usize| {
        let head = frame(NOTIFY, FIN, 1, 1, &attack().encode()).len() - 4;
        let path = format!("/{}", "a".repeat(length - head - 2));
        // The length of a string of more than 2287 bytes takes two bytes more than that of "/".
        let message = attack().with("path", text(&path));
        message.notify(1, 1).encode()
    };
    let largest = sized(16380);
    assert_eq!(largest.len(), 16384);
    let mut cases = vec![
        greeted("a hello and no more", "", &[Close]).then_ends(),
        greeted("a notify without its last byte", &good[..last], &[Close]).then_ends(),
        greeted("a notify that says it has a byte more", longer, &[Close]).then_ends(),
        greeted("a notify of 16380 bytes", largest, &[Ack(1, 1, Denied(471)), Open]),
        greeted("a notify of 16381 bytes", sized(16381), &[Bye(3)]),
        greeted("16381 bytes announced and no more", b"\0\0\x3F\xFD", &[Bye(3)]),
        greeted("a notify of 4 GiB announced", b"\xFF\xFF\xFF\xFF\x03", &[Bye(3)]),
        greeted("a byte between two frames", [&[0][..], &good].concat(), &[Bye(4)]),
        greeted("a length of zero between two frames", [&[0; 4][..], &good].concat(), &[Bye(4)]),
        first(
            "257 bytes announced when 256 are agreed on",
            [hello_with_size(256), b"\0\0\x01\x01".to_vec()].concat(),
            &[Greeting, Bye(3)],
        ),
    ];
    for length in 0..7_u8 {
        let bytes = [&[0, 0, 0, length], &b"\x03\0\0\0\x01\x01\x01"[..usize::from(length)]].concat();
        cases.push(greeted(format!("a later frame of {length} bytes"), bytes, &[Bye(4)]));
    }
    cases
}

fn hello_with_size(size: u32) -> Vec<u8> {
    let mut items = hello();
    items[1].1 = Value::Uint32(size);
    hello_frame(items).encode()
}

fn types() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in UNKNOWN {
        let bytes = frame(kind, FIN, 1, 1, &clean().encode());
        cases.push(first(format!("a first frame of type {kind}"), bytes.clone(), &[Bye(4)]));
        cases.push(greeted(format!("a later frame of type {kind}"), bytes, &[Bye(4)]));
        let empty = frame(kind, 0, 0, 0, b"");
        cases.push(greeted(format!("an empty frame of type {kind} without flags"), empty, &[Bye(4)]));
    }
    cases
}

/// Bits that no version has given a meaning are not looked at.
fn flags() -> Vec<Case> {
    let hello = &good_hello()[11..];
    let mut cases = Vec::new();
    for bits in [0x4, 0x8, 0x100, 0x4000_0000, 0x8000_0000, 0xFFFF_FFFC] {
        let flags = FIN | bits;
        let notify = frame(NOTIFY, flags, 1, 1, &clean().encode());
        cases.push(greeted(format!("a notify with flags {flags:#x}"), notify, &[Ack(1, 1, Clean), Open]));
        let bytes = frame(HELLO, flags, 0, 0, hello);
        cases.push(first(format!("a hello with flags {flags:#x}"), bytes, &[Greeting, Open]));
    }
    cases.push(first("a hello that is aborted", frame(HELLO, 3, 0, 0, hello), &[Bye(4)]));
    cases
}

fn identifiers() -> Vec<Case> {
    let mut cases = Vec::new();
    let limits = [0, 1, 239, 240, 2287, 2288, u64::from(u32::MAX), i64::MAX as u64, 1 << 63, u64::MAX];
    for id in limits {
        for (stream, id) in [(id, 1), (1, id), (id, id)] {
            if cases.iter().any(|case: &Case| case.name == format!("stream-id {stream}, frame-id {id}")) {
                continue;
            }
            let notify = clean().notify(stream, id).encode();
            cases.push(greeted(
                format!("stream-id {stream}, frame-id {id}"),
                notify,
                &[Ack(stream, id, Clean), Open],
            ));
        }
    }
    let head = |rest: &[&[u8]]| bytes_of_length(&[&b"\x03\0\0\0\x01"[..], &rest.concat()].concat());
    let broken: [(&str, Vec<u8>); 6] = [
        ("a stream-id of more than 64 bits", head(&[HUGE, b"\x01"])),
        ("a frame-id of more than 64 bits", head(&[b"\x01", HUGE])),
        ("a stream-id that never ends", head(&[&[0xFF; 200]])),
        ("a frame-id that never ends", head(&[b"\x01", &[0xFF; 200]])),
        ("no frame-id", head(&[b"\xF0\x80"])),
        ("a frame-id beyond the frame", head(&[b"\x01\xF0"])),
    ];
    for (name, bytes) in broken {
        cases.push(greeted(name, bytes.clone(), &[Bye(4)]));
        cases.push(first(format!("{name}, first"), bytes, &[Bye(4)]));
    }
    let bad_hello = frame(HELLO, FIN, 1, 0, &good_hello()[11..]);
    cases.push(first("a hello with a stream-id", bad_hello, &[Bye(4)]));
    let bad_hello = frame(HELLO, FIN, 0, 1, &good_hello()[11..]);
    cases.push(first("a hello with a frame-id", bad_hello, &[Bye(4)]));
    cases
}
