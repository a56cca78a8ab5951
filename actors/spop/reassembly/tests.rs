//! Fragments through a session that has shaken hands, frames as bytes: length, type, flags, stream-id, frame-id, payload.

use bytes::{Bytes, BytesMut};

use super::{Budget, Excess};
use crate::spop::hello::Capabilities;
use crate::spop::{Event, FrameId, Limits, Session, Status};

/// A NOTIFY (3) of stream 7, frame 1, whole and in its first part.
const WHOLE: &[u8] = b"\x00\x00\x00\x09\x03\x00\x00\x00\x01\x07\x01ab";
const FIRST: &[u8] = b"\x00\x00\x00\x0A\x03\x00\x00\x00\x00\x07\x01abc";
/// UNSET frames (0) that go on with it: without FIN, with FIN, and empty with FIN and ABORT.
const NEXT: &[u8] = b"\x00\x00\x00\x0A\x00\x00\x00\x00\x00\x07\x01def";
const LAST: &[u8] = b"\x00\x00\x00\x09\x00\x00\x00\x00\x01\x07\x01gh";
const ABORTED: &[u8] = b"\x00\x00\x00\x07\x00\x00\x00\x00\x03\x07\x01";

const ID: FrameId = FrameId { stream: 7, frame: 1 };

/// A session that takes payloads of 8 bytes, and so does all that share its budget.
fn open(capabilities: Capabilities) -> (Session, Budget) {
    let budget = Budget::new(8);
    let limits = Limits { max_frame_size: 256, max_payload: 8, capabilities };
    let mut session = Session::new(limits, budget.clone());
    let hello = b"\x00\x00\x00\x4A\x01\x00\x00\x00\x01\x00\x00\x12supported-versions\x08\x032.0\
        \x0Emax-frame-size\x03\xF0\x01\x0Ccapabilities\x08\x0Apipelining";
    let event = session.receive(&mut BytesMut::from(&hello[..]), &mut BytesMut::new());
    assert!(matches!(event, Some(Event::Open(_))), "{event:?}");
    (session, budget)
}

fn events_of(session: &mut Session, frames: &[&[u8]]) -> (Vec<Event>, BytesMut) {
    let (mut input, mut output) = (BytesMut::from(&frames.concat()[..]), BytesMut::new());
    let events = std::iter::from_fn(|| session.receive(&mut input, &mut output)).collect();
    (events, output)
}

fn events(frames: &[&[u8]]) -> Vec<Event> {
    events_of(&mut open(Capabilities::ALL).0, frames).0
}

fn notify(payload: &'static [u8]) -> Event {
    Event::Notify { id: ID, payload: Bytes::from_static(payload) }
}

fn begun(start: &'static [u8]) -> Event {
    Event::Begun { id: ID, start: Bytes::from_static(start) }
}

#[test]
fn fragments_become_one_payload() {
    assert_eq!(events(&[WHOLE]), [notify(b"ab")]);
    assert_eq!(events(&[FIRST, LAST]), [begun(b"abc"), notify(b"abcgh")]);
    assert_eq!(events(&[FIRST, NEXT, LAST]), [begun(b"abc"), notify(b"abcdefgh")]);
    // Short ones, since a payload has its share of the budget until it is dropped.
    let tiny = &b"\x00\x00\x00\x08\x03\x00\x00\x00\x00\x07\x01a"[..];
    let end = &b"\x00\x00\x00\x08\x00\x00\x00\x00\x01\x07\x01b"[..];
    let two = [begun(b"a"), notify(b"ab"), notify(b"ab"), begun(b"a"), notify(b"ab")];
    assert_eq!(events(&[tiny, end, WHOLE, tiny, end]), two);
}

#[test]
fn haproxy_gives_a_payload_up() {
    let (mut session, budget) = open(Capabilities::ALL);
    let (found, output) = events_of(&mut session, &[FIRST, NEXT, ABORTED, WHOLE]);
    assert_eq!(found, [begun(b"abc"), Event::GivenUp, notify(b"ab")]);
    assert!(output.is_empty() && budget.left() == 8);
    assert_eq!(events(&[FIRST, NEXT, NEXT, ABORTED]), [begun(b"abc"), Event::GivenUp]);
}

#[test]
fn each_misuse_has_its_code() {
    // UNSET of stream 9, of frame 2, with ABORT and no FIN; NOTIFY of stream 9, whole and its first part; the last with
    // ABORT and no FIN; HELLO, and DISCONNECT without FIN.
    let other_stream = &b"\x00\x00\x00\x07\x00\x00\x00\x00\x01\x09\x01"[..];
    let other_frame = &b"\x00\x00\x00\x07\x00\x00\x00\x00\x01\x07\x02"[..];
    let abort_only = &b"\x00\x00\x00\x07\x00\x00\x00\x00\x02\x07\x01"[..];
    let other_whole = &b"\x00\x00\x00\x07\x03\x00\x00\x00\x01\x09\x01"[..];
    let other_first = &b"\x00\x00\x00\x07\x03\x00\x00\x00\x00\x09\x01"[..];
    let first_aborted = &b"\x00\x00\x00\x07\x03\x00\x00\x00\x02\x07\x01"[..];
    let hello = &b"\x00\x00\x00\x07\x01\x00\x00\x00\x01\x00\x00"[..];
    let half_disconnect = &b"\x00\x00\x00\x07\x02\x00\x00\x00\x00\x00\x00"[..];
    let cases: &[(&[&[u8]], Status)] = &[
        (&[NEXT], Status::Interlaced),
        (&[LAST], Status::Interlaced),
        (&[ABORTED], Status::Interlaced),
        (&[FIRST, LAST, LAST], Status::Interlaced),
        (&[FIRST, ABORTED, NEXT], Status::Interlaced),
        (&[FIRST, other_stream], Status::Interlaced),
        (&[FIRST, other_frame], Status::Interlaced),
        (&[FIRST, FIRST], Status::Interlaced),
        (&[FIRST, WHOLE], Status::Interlaced),
        (&[FIRST, other_whole], Status::Interlaced),
        (&[FIRST, other_first], Status::Interlaced),
        (&[FIRST, NEXT, NEXT, other_whole], Status::Interlaced),
        (&[FIRST, abort_only], Status::Invalid),
        (&[first_aborted], Status::Invalid),
        (&[FIRST, hello], Status::Invalid),
        (&[FIRST, half_disconnect], Status::NoFragmentation),
    ];
    for (frames, status) in cases {
        let (mut session, budget) = open(Capabilities::ALL);
        let (found, output) = events_of(&mut session, frames);
        assert!(
            matches!(found.last(), Some(Event::Rejected(cause)) if cause.status() == *status),
            "{frames:?}: {found:?}"
        );
        assert_eq!(output[4], 102, "an AGENT-DISCONNECT is sent");
        drop(found);
        assert_eq!(budget.left(), 8, "{frames:?}");
    }
}

#[test]
fn without_the_capability_no_fragment_is_taken() {
    for frames in [&[FIRST][..], &[LAST], &[ABORTED]] {
        let (mut session, _) = open(Capabilities { pipelining: true, ..Capabilities::default() });
        let (found, _) = events_of(&mut session, frames);
        assert!(matches!(&found[..], [Event::Rejected(cause)] if cause.status() == Status::NoFragmentation));
    }
}

#[test]
fn a_payload_that_is_too_large_is_answered_after_its_last_fragment() {
    let (mut session, budget) = open(Capabilities::ALL);
    let (found, _) = events_of(&mut session, &[FIRST, NEXT, NEXT, NEXT]);
    assert_eq!(found, [begun(b"abc")]);
    assert_eq!(budget.left(), 8, "nothing of it is kept");
    let (found, _) = events_of(&mut session, &[NEXT, LAST, WHOLE]);
    assert_eq!(found, [Event::TooMuch(Excess::Payload), notify(b"ab")]);
    // The last one is what is too much.
    let found = events(&[FIRST, NEXT, b"\x00\x00\x00\x0A\x00\x00\x00\x00\x01\x07\x01ghi"]);
    assert_eq!(found, [begun(b"abc"), Event::TooMuch(Excess::Payload)]);
}

#[test]
fn the_budget_is_held_until_nobody_has_the_payload() {
    let (mut session, budget) = open(Capabilities::ALL);
    let (mut found, _) = events_of(&mut session, &[FIRST, NEXT, LAST]);
    assert_eq!(budget.left(), 0);
    let (refused, _) = events_of(&mut session, &[FIRST, NEXT, LAST]);
    assert_eq!(refused, [begun(b"abc"), Event::TooMuch(Excess::Budget)]);
    let Some(Event::Notify { payload, .. }) = found.pop() else { panic!("{found:?}") };
    let part = payload.slice(2..4);
    drop(payload);
    assert_eq!(budget.left(), 0, "a part of it is still there");
    drop(part);
    assert_eq!(budget.left(), 8);
    let (taken, _) = events_of(&mut session, &[FIRST, NEXT, LAST]);
    assert_eq!(taken.last(), Some(&notify(b"abcdefgh")));
}

#[test]
fn a_link_that_ends_gives_its_share_back() {
    let (mut session, budget) = open(Capabilities::ALL);
    events_of(&mut session, &[FIRST]);
    assert_eq!(budget.left(), 5);
    drop(session);
    assert_eq!(budget.left(), 8);
}

#[test]
fn an_abort_of_ours_ends_it_with_one_ack() {
    let (mut session, budget) = open(Capabilities::ALL);
    events_of(&mut session, &[FIRST]);
    let (actions, mut output) = (Bytes::from_static(b"xyz").into(), BytesMut::new());
    session.abort(&actions, &mut output).unwrap();
    // ACK (103) with FIN and ABORT.
    assert_eq!(&output[..], b"\x00\x00\x00\x0A\x67\x00\x00\x00\x03\x07\x01xyz");
    assert_eq!(budget.left(), 8);
    output.clear();
    session.abort(&actions, &mut output).unwrap();
    assert!(output.is_empty(), "nothing is there to be aborted");
    // What was on its way is ignored, up to its end, which is either of these, or that of HAProxy's next request.
    for end in [&[NEXT, LAST, WHOLE][..], &[NEXT, ABORTED, WHOLE], &[NEXT, WHOLE]] {
        let (found, _) = events_of(&mut session, end);
        assert_eq!(found, [notify(b"ab")]);
        events_of(&mut session, &[FIRST]);
        session.abort(&actions, &mut BytesMut::new()).unwrap();
    }
    let (found, _) = events_of(&mut session, &[FIRST, LAST]);
    assert_eq!(found, [begun(b"abc"), notify(b"abcgh")]);
}
