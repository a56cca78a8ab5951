//! Properties of the wire protocol: what is encoded decodes to the same, and no bytes make it panic.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::net::{Ipv4Addr, Ipv6Addr};

use actors::spop::hello::Capabilities;
use actors::spop::value::encode_bytes;
use actors::spop::varint::{self, Decoded};
use actors::spop::{
    Event, Frame, FrameId, FrameType, Limits, Messages, Session, Value, disconnect, frame, hello, reader,
};
use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

/// A value that owns its bytes, to make `Value`s of.
#[derive(Clone, Debug)]
enum Owned {
    Plain(Value<'static>),
    String(Vec<u8>),
    Binary(Vec<u8>),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Plain(value) => *value,
            Self::String(bytes) => Value::String(bytes),
            Self::Binary(bytes) => Value::Binary(bytes),
        }
    }
}

fn values() -> impl Strategy<Value = Owned> {
    prop_oneof![
        Just(Owned::Plain(Value::Null)),
        any::<bool>().prop_map(|value| Owned::Plain(Value::Bool(value))),
        any::<i32>().prop_map(|value| Owned::Plain(Value::Int32(value))),
        any::<u32>().prop_map(|value| Owned::Plain(Value::Uint32(value))),
        any::<i64>().prop_map(|value| Owned::Plain(Value::Int64(value))),
        any::<u64>().prop_map(|value| Owned::Plain(Value::Uint64(value))),
        any::<u32>().prop_map(|bits| Owned::Plain(Value::Ipv4(Ipv4Addr::from(bits)))),
        any::<u128>().prop_map(|bits| Owned::Plain(Value::Ipv6(Ipv6Addr::from(bits)))),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(Owned::String),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(Owned::Binary),
    ]
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

fn session() -> Session {
    Session::new(Limits { max_frame_size: 4096, capabilities: Capabilities::ALL })
}

/// A session that has shaken hands.
fn open_session() -> Session {
    let mut payload = BytesMut::new();
    for (name, value) in [
        ("supported-versions", Value::String(b"2.0")),
        ("max-frame-size", Value::Uint32(4096)),
        ("capabilities", Value::String(b"pipelining")),
    ] {
        encode_bytes(name.as_bytes(), &mut payload);
        value.encode(&mut payload);
    }
    let (mut session, mut input) = (session(), BytesMut::new());
    frame::encode(FrameType::HaproxyHello, FrameId::default(), &payload, &mut input);
    assert!(matches!(session.receive(&mut input, &mut BytesMut::new()), Some(Event::Open(_))));
    session
}

proptest! {
    #[test]
    fn varints_come_back(value: u64) {
        let mut bytes = Vec::new();
        varint::encode(value, &mut bytes);
        prop_assert_eq!(bytes.len(), varint::encoded_len(value));
        prop_assert_eq!(varint::decode(&bytes), Decoded::Value(value, bytes.len()));
        for cut in 0..bytes.len() {
            prop_assert_eq!(varint::decode(&bytes[..cut]), Decoded::Incomplete);
        }
    }

    #[test]
    fn values_come_back(owned in values()) {
        let mut bytes = Vec::new();
        owned.value().encode(&mut bytes);
        let mut reader = reader::Reader::new(&bytes);
        prop_assert_eq!(reader.value("value"), Ok(owned.value()));
        prop_assert!(reader.is_empty());
        for cut in 0..bytes.len() {
            prop_assert!(reader::Reader::new(&bytes[..cut]).value("value").is_err());
        }
    }

    #[test]
    fn messages_come_back(messages in prop::collection::vec(
        (names(), prop::collection::vec((names(), values()), 0..20)), 0..4,
    )) {
        let mut payload = BytesMut::new();
        for (name, arguments) in &messages {
            encode_bytes(name, &mut payload);
            payload.put_u8(arguments.len() as u8);
            for (name, value) in arguments {
                encode_bytes(name, &mut payload);
                value.value().encode(&mut payload);
            }
        }
        let mut found = Messages::new(&payload);
        for (name, arguments) in &messages {
            let message = found.next().unwrap().unwrap();
            prop_assert_eq!(message.name, &name[..]);
            let pairs: Vec<_> = message.arguments.map(|argument| (argument.name, argument.value)).collect();
            let expected: Vec<_> = arguments.iter().map(|(name, value)| (&name[..], value.value())).collect();
            prop_assert_eq!(pairs, expected);
        }
        prop_assert!(found.next().is_none());
    }

    #[test]
    fn frames_come_back_however_they_are_cut(
        kind: u8, stream: u64, id: u64, payload in prop::collection::vec(any::<u8>(), 0..300), cut: prop::sample::Index,
    ) {
        let mut bytes = BytesMut::new();
        let id = FrameId { stream, frame: id };
        frame::encode(FrameType::from(kind), id, &payload, &mut bytes);
        let cut = cut.index(bytes.len());
        let mut input = BytesMut::from(&bytes[..cut]);
        prop_assert_eq!(Frame::decode(&mut input, 4096), Ok(None));
        input.extend_from_slice(&bytes[cut..]);
        let found = Frame::decode(&mut input, 4096).unwrap().unwrap();
        prop_assert_eq!((u8::from(found.kind), found.flags, found.id), (kind, frame::FIN, id));
        prop_assert_eq!(&found.payload[..], &payload[..]);
        prop_assert!(input.is_empty());
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let shared = Bytes::from(bytes.clone());
        let _ = Messages::new(&bytes).collect::<Vec<_>>();
        let _ = hello::HaproxyHello::decode(&shared);
        let _ = disconnect::PeerDisconnect::decode(&shared);
        let _ = Frame::decode(&mut BytesMut::from(&bytes[..]), 512);
    }

    /// A whole frame that is no valid one is never met with silence, and what is answered is itself a valid frame.
    #[test]
    fn no_frame_is_met_with_silence(
        greeted: bool, kind in 0_u8..5, flags in 0_u32..4, id in 0_u8..3,
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut input = BytesMut::new();
        input.put_u32(payload.len() as u32 + 7);
        input.put_u8(kind);
        input.put_u32(flags);
        input.put_slice(&[id, id]);
        input.put_slice(&payload);
        let mut session = if greeted { open_session() } else { session() };
        let mut output = BytesMut::new();
        let event = session.receive(&mut input, &mut output).unwrap();
        if !matches!(event, Event::Notify { .. }) {
            let answer = Frame::decode(&mut output, 4096).unwrap().unwrap();
            prop_assert!(matches!(answer.kind, FrameType::AgentHello | FrameType::AgentDisconnect));
        }
        prop_assert!(output.is_empty());
    }
}
