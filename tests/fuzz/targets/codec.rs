//! Bytes from a peer, to frames and their payloads.
//!
//! The first byte says in what pieces the rest arrives: frames must not depend on it. Whatever was understood is written
//! again and read again, and must be the same.

#![no_main]

use actors::spop::hello::{Capabilities, HaproxyHello};
use actors::spop::reader::Reader;
use actors::spop::{
    ActionList, Argument, Frame, FrameType, Messages, ProtocolError, Scope, Value, disconnect, frame, varint,
};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

/// Small enough that a fuzzer meets it.
const LIMIT: u32 = 2048;

fuzz_target!(|data: &[u8]| {
    let Some((&pieces, bytes)) = data.split_first() else { return };
    let (frames, end) = frames_of(bytes, bytes.len().max(1));
    assert_eq!((&frames, &end), (&frames_of(bytes, usize::from(pieces).max(1)).0, &end));
    for frame in &frames {
        assert!(frame.payload.len() <= LIMIT as usize);
        written_again(frame);
        payloads(&frame.payload);
    }
    payloads(&Bytes::copy_from_slice(bytes));
});

/// The frames in these bytes, when so many of them arrive at a time, and why there are no more.
fn frames_of(bytes: &[u8], pieces: usize) -> (Vec<Frame>, Option<ProtocolError>) {
    let (mut input, mut frames) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(pieces) {
        input.extend_from_slice(piece);
        loop {
            match Frame::decode(&mut input, LIMIT) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(cause) => return (frames, Some(cause)),
            }
        }
    }
    (frames, None)
}

fn written_again(read: &Frame) {
    assert_eq!(FrameType::from(u8::from(read.kind)), read.kind);
    let mut written = BytesMut::new();
    frame::encode_with(read.flags, read.kind, read.id, &read.payload, &mut written);
    assert_eq!(Frame::decode(&mut written, u32::MAX).unwrap().as_ref(), Some(read));
    assert!(written.is_empty());
}

/// Reads a payload as each of the kinds that it may be.
fn payloads(payload: &Bytes) {
    match HaproxyHello::decode(payload) {
        Ok(hello) => {
            assert!(hello.max_frame_size >= frame::MIN_FRAME_SIZE);
            let agreed = hello.agree(16384, Capabilities::ALL);
            assert!(agreed.max_frame_size <= hello.max_frame_size.min(16384));
            let mut written = BytesMut::new();
            agreed.encode(&mut written);
            assert!(Frame::decode(&mut written, 256).unwrap().is_some());
        }
        Err(cause) => {
            let mut written = BytesMut::new();
            disconnect::encode(cause.status(), &mut written);
            assert!(Frame::decode(&mut written, 256).unwrap().is_some());
        }
    }
    if let Ok(said) = disconnect::PeerDisconnect::decode(payload) {
        assert!(said.message.len() <= payload.len());
    }
    let mut arguments = 0;
    for message in Messages::new(payload).map_while(Result::ok) {
        let announced = message.arguments.len();
        let found: Vec<_> = message.arguments.collect();
        assert_eq!(found.len(), announced, "a message that was found to be whole");
        found.iter().for_each(|argument| value(argument.value));
        actions(message.name, &found);
        arguments += announced;
    }
    // Each takes two bytes at least: what is made of a payload is bounded by its length.
    assert!(arguments * 2 <= payload.len());
}

/// Each argument as a variable, in an ACK that has room for the first alone, and in one that has room for all.
fn actions(name: &[u8], arguments: &[Argument<'_>]) {
    let name = String::from_utf8_lossy(name);
    let mut actions = ActionList::new();
    for (number, argument) in arguments.iter().enumerate() {
        if number == 1 {
            actions.end_essential();
        }
        actions.set_var(Scope::Transaction, &name, argument.value);
    }
    actions.unset_var(Scope::Response, &name);
    let (payload, mut counts) = (actions.into_payload(), Vec::new());
    for room in [1, usize::MAX] {
        let mut reader = Reader::new(payload.within(room));
        let mut set = 0;
        while reader.rest().starts_with(&[1, 3, 2]) {
            (0..3).for_each(|_| assert!(reader.byte("a set-var").is_ok()));
            assert_eq!(reader.bytes("a name"), Ok(name.as_bytes()));
            assert_eq!(reader.value("a value"), Ok(arguments[set].value));
            set += 1;
        }
        let unset = !reader.is_empty();
        if unset {
            assert!(reader.rest().starts_with(&[2, 2, 4]));
            (0..3).for_each(|_| assert!(reader.byte("an unset-var").is_ok()));
            assert_eq!(reader.bytes("a name"), Ok(name.as_bytes()));
            assert!(reader.is_empty());
        }
        counts.push((set, unset));
    }
    let short = if arguments.len() > 1 { (1, false) } else { (arguments.len(), true) };
    assert_eq!(counts, [short, (arguments.len(), true)]);
}

fn value(read: Value<'_>) {
    let mut written = Vec::new();
    read.encode(&mut written);
    let mut reader = Reader::new(&written);
    assert_eq!(reader.value("a value"), Ok(read));
    assert!(reader.is_empty());
    if let Some(number) = read.unsigned() {
        let mut written = Vec::new();
        varint::encode(number, &mut written);
        assert_eq!(written.len(), varint::encoded_len(number));
        assert_eq!(varint::decode(&written), varint::Decoded::Value(number, written.len()));
    }
}
