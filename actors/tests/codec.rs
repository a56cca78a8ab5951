//! Properties of the wire protocol: what is encoded decodes to the same, and no bytes make it panic.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::net::{Ipv4Addr, Ipv6Addr};

use actors::spop::hello::Capabilities;
use actors::spop::value::encode_bytes;
use actors::spop::varint::{self, Decoded};
use actors::spop::{
    Budget, Event, Frame, FrameId, FrameType, Limits, Messages, Session, Value, disconnect, frame, hello,
    reader,
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
    session_with(1 << 20, Budget::new(1 << 20))
}

fn session_with(max_payload: usize, budget: Budget) -> Session {
    Session::new(Limits { max_frame_size: 4096, max_payload, capabilities: Capabilities::ALL }, budget)
}

/// A session that has shaken hands.
fn open_session() -> Session {
    shake_hands(session())
}

/// One that takes payloads up to this size, and its budget.
fn open_session_with(max_payload: usize, budget: usize) -> (Session, Budget) {
    let budget = Budget::new(budget);
    (shake_hands(session_with(max_payload, budget.clone())), budget)
}

fn shake_hands(mut session: Session) -> Session {
    let mut payload = BytesMut::new();
    for (name, value) in [
        ("supported-versions", Value::String(b"2.0")),
        ("max-frame-size", Value::Uint32(4096)),
        ("capabilities", Value::String(b"pipelining")),
    ] {
        encode_bytes(name.as_bytes(), &mut payload);
        value.encode(&mut payload);
    }
    let mut input = BytesMut::new();
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

    /// However a payload is cut into fragments, and the fragments' bytes into reads, it is the same payload.
    #[test]
    fn payloads_come_back_however_they_are_fragmented(
        payload in prop::collection::vec(any::<u8>(), 0..3000),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        reads in prop::collection::vec(1_usize..200, 1..40),
        stream: u64, number: u64,
    ) {
        let id = FrameId { stream, frame: number };
        let mut cuts: Vec<usize> = cuts.drain(..).map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([payload.len()]);
        let mut bytes = BytesMut::new();
        let first = Bytes::copy_from_slice(&payload[..cuts.first().copied().unwrap_or(payload.len())]);
        let mut start = 0;
        for (index, end) in ends.enumerate() {
            let kind = if index == 0 { FrameType::Notify } else { FrameType::Unset };
            let flags = if index == cuts.len() { frame::FIN } else { 0 };
            frame::encode_with(flags, kind, id, &payload[start..end], &mut bytes);
            start = end;
        }
        let (mut session, mut input, mut output) = (open_session(), BytesMut::new(), BytesMut::new());
        let mut events = Vec::new();
        for size in reads.iter().copied().cycle() {
            input.extend_from_slice(&bytes.split_to(size.min(bytes.len())));
            events.extend(std::iter::from_fn(|| session.receive(&mut input, &mut output)));
            if bytes.is_empty() {
                break;
            }
        }
        let whole = Event::Notify { id, payload: Bytes::from(payload) };
        let expected = if cuts.is_empty() { vec![whole] } else { vec![Event::Begun { id, start: first }, whole] };
        prop_assert_eq!(events, expected);
        prop_assert!(output.is_empty() && input.is_empty());
    }

    /// Whatever frames come in whatever order: no panic, every payload that begins ends once, the budget is whole again.
    #[test]
    fn any_mixture_of_fragments_is_accounted_for(
        frames in prop::collection::vec((0_u8..4, 0_u32..4, 0_u8..2, 0_usize..300), 0..40),
    ) {
        let (mut session, budget) = open_session_with(512, 1000);
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        for (kind, flags, stream, length) in frames {
            let (kind, payload) = (FrameType::from(kind), vec![0; length]);
            let id = FrameId { stream: stream.into(), frame: 1 };
            frame::encode_with(flags, kind, id, &payload, &mut input);
        }
        let mut begun = false;
        while let Some(event) = session.receive(&mut input, &mut output) {
            match event {
                Event::Begun { .. } => prop_assert!(!std::mem::replace(&mut begun, true)),
                Event::GivenUp | Event::TooMuch(..) => prop_assert!(std::mem::take(&mut begun)),
                Event::Notify { payload, .. } => {
                    // A whole one is bounded by the frame size, the others by their own limit.
                    let limit = if std::mem::take(&mut begun) { 512 } else { 4096 };
                    prop_assert!(payload.len() <= limit);
                }
                _ => begun = false,
            }
            prop_assert!(begun || budget.left() == 1000);
        }
        drop(session);
        prop_assert_eq!(budget.left(), 1000);
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
        if !matches!(event, Event::Notify { .. } | Event::Begun { .. }) {
            let answer = Frame::decode(&mut output, 4096).unwrap().unwrap();
            prop_assert!(matches!(answer.kind, FrameType::AgentHello | FrameType::AgentDisconnect));
        }
        prop_assert!(output.is_empty());
    }
}
