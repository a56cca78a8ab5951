//! The state of links, under any sequence of frames from peers and of answers from the agent.
//!
//! Three links share a budget for payloads in fragments; the last does not take fragments. Beside each link stands a model
//! of what SPOP says of fragments, which predicts every event and every byte of the budget.
//!
//! The input is a list of steps, each an opcode and what belongs to it. The opcode's bits 3 and 4 choose the link (3 is 0),
//! its lowest three say what happens:
//!
//! | | |
//! |---|---|
//! | 0 to 2 | a frame with its right length: type, flags, stream-id, frame-id (a byte each), u16 length, payload |
//! | 3 | the agent aborts the payload that has begun: how long the answer is (a byte, in steps of 4) |
//! | 4 | the agent answers: which of the open NOTIFYs (a byte), how long the answer is (a byte, in steps of 4) |
//! | 5 | bytes as they are: u8 length, bytes |
//! | 6 | the engines are well (an odd byte) or not |
//! | 7 | the agent disconnects (an odd byte), or the link is lost, and a new one takes its place |

#![no_main]

use actors::spop::frame::{ABORT, FIN};
use actors::spop::hello::{Agreement, Capabilities};
use actors::spop::reader::Reader;
use actors::spop::{
    ActionList, Actions, Budget, Event, Excess, Frame, FrameId, FrameType, Limits, Scope, Session, Status,
    Value,
};
use bytes::{BufMut, Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

const MAX_FRAME_SIZE: u32 = 2048;

/// The largest payload in fragments on each link: one that those of the seeds fit in, and one that a fuzzer meets.
const MAX_PAYLOADS: [usize; 3] = [1500, 100, 1500];

/// Bytes for fragments on all links together: more than one payload, fewer than two.
const BUDGET: usize = 2000;

const CAPABILITIES: [Capabilities; 3] = [
    Capabilities::ALL,
    Capabilities { asynchronous: false, ..Capabilities::ALL },
    Capabilities { fragmentation: false, ..Capabilities::ALL },
];

fuzz_target!(|data: &[u8]| {
    let budget = Budget::new(BUDGET);
    let mut links = [0, 1, 2].map(|number| Link::new(number, &budget));
    let mut left = BUDGET;
    let mut lost = Vec::new();
    let mut steps = data;
    while let Some(opcode) = byte(&mut steps) {
        let number = usize::from(opcode >> 3 & 3) % 3;
        let link = &mut links[number];
        match opcode & 7 {
            0..=2 => {
                let Some(frame) = frame(&mut steps) else { break };
                link.receive(&frame, &mut left);
            }
            3 => {
                let len = byte(&mut steps).unwrap_or(0);
                link.abort(len, &mut left);
            }
            4 => {
                let (which, len) = (byte(&mut steps), byte(&mut steps));
                link.answer(which.unwrap_or(0).into(), len.unwrap_or(0), &mut left);
            }
            5 => {
                let len = byte(&mut steps).unwrap_or(0);
                link.receive(take(&mut steps, len.into()), &mut left);
            }
            6 => link.session.set_healthy(byte(&mut steps).unwrap_or(0) % 2 == 1),
            _ if byte(&mut steps).unwrap_or(0) % 2 == 1 => link.disconnect(&mut left),
            _ => {
                let old = std::mem::replace(link, Link::new(number, &budget));
                // Workers still have its requests.
                lost.extend(old.lose(&mut left));
            }
        }
        link.check();
        assert_eq!(budget.left(), left, "bytes that are left of the budget");
    }
    lost.extend(links.into_iter().flat_map(|link| link.lose(&mut left)));
    assert_eq!(budget.left(), left, "with all links lost, requests alone have bytes");
    drop(lost);
    assert_eq!(budget.left(), BUDGET, "with all requests answered");
});

/// A NOTIFY that was not answered.
struct Open {
    id: FrameId,
    /// What a worker would have of it.
    _payload: Bytes,
    /// Its share of the budget.
    taken: usize,
}

/// What is known of a payload that has begun, by the frames that came.
struct Begun {
    id: FrameId,
    state: Collected,
}

enum Collected {
    Bytes { bytes: Vec<u8>, taken: usize },
    TooMuch(Excess),
    Answered,
}

impl Collected {
    fn push(&mut self, more: &[u8], limit: usize, left: &mut usize) {
        let Self::Bytes { bytes, taken } = self else { return };
        let length = bytes.len() + more.len();
        let wanted = if length > *taken { length.max(limit.min(2 * *taken)) } else { *taken };
        let excess = if length > limit {
            Excess::Payload
        } else if wanted - *taken > *left {
            Excess::Budget
        } else {
            bytes.extend_from_slice(more);
            *left -= wanted - *taken;
            *taken = wanted;
            return;
        };
        *left += *taken;
        *self = Self::TooMuch(excess);
    }

    fn forget(self, left: &mut usize) {
        if let Self::Bytes { taken, .. } = self {
            *left += taken;
        }
    }
}

/// A session and what it said, read by what it may say.
struct Link {
    limits: Limits,
    session: Session,
    input: BytesMut,
    output: BytesMut,
    begun: Option<Begun>,
    open: Vec<Open>,
    /// ACKs that must be in the output: whose, with which flags and actions.
    due: Vec<(FrameId, u32, Bytes)>,
    agreed: Option<Agreement>,
    greeted: bool,
    told: bool,
}

impl Link {
    fn new(number: usize, budget: &Budget) -> Self {
        let limits = Limits {
            max_frame_size: MAX_FRAME_SIZE,
            max_payload: MAX_PAYLOADS[number],
            capabilities: CAPABILITIES[number],
        };
        Self {
            limits,
            session: Session::new(limits, budget.clone()),
            input: BytesMut::new(),
            output: BytesMut::new(),
            begun: None,
            open: Vec::new(),
            due: Vec::new(),
            agreed: None,
            greeted: false,
            told: false,
        }
    }

    /// Ends without a word; the requests that nobody has answered stay.
    fn lose(mut self, left: &mut usize) -> Vec<Open> {
        self.session.close();
        self.forget(left);
        assert_eq!(self.session.receive(&mut self.input, &mut self.output), None);
        self.disconnect(left);
        assert!(self.session.is_closed() && self.output.is_empty(), "a word after the end");
        self.open
    }

    fn receive(&mut self, bytes: &[u8], left: &mut usize) {
        self.input.extend_from_slice(bytes);
        loop {
            let (closed, awaited, before) =
                (self.session.is_closed(), self.session.awaits_hello(), self.output.len());
            let mut came = self.input.clone();
            let event = self.session.receive(&mut self.input, &mut self.output);
            came.truncate(came.len() - self.input.len());
            let (mut frames, mut unreadable) = (Vec::new(), false);
            while !came.is_empty() && !unreadable {
                match Frame::decode(&mut came, u32::MAX) {
                    Ok(frame) => frames.push(frame.unwrap()),
                    Err(_) => unreadable = true,
                }
            }
            let Some(event) = event else {
                assert_eq!(self.output.len(), before, "an answer to nothing");
                assert!(!unreadable);
                frames.iter().for_each(|frame| self.came_silently(frame, left));
                let limit = self.agreed.map_or(MAX_FRAME_SIZE, |agreed| agreed.max_frame_size) as usize;
                assert!(closed || self.input.len() < 4 + limit, "{} bytes wait", self.input.len());
                break;
            };
            assert!(!closed, "{event:?} after the end");
            // What cannot be read is rejected, and so is a length that is wrong, which is left where it is.
            let last = if unreadable || self.is_refused_on_sight(&event) { None } else { frames.pop() };
            frames.iter().for_each(|frame| self.came_silently(frame, left));
            if !matches!(event, Event::Rejected(_)) {
                let frame = last.as_ref().unwrap();
                assert!(self.is_allowed(frame), "{event:?} for {frame:?}");
                assert_eq!(
                    self.session.is_closed(),
                    matches!(event, Event::HealthCheck | Event::PeerClosed(_))
                );
            }
            match event {
                Event::Open(agreed) => {
                    assert!(awaited && !self.session.awaits_hello());
                    assert!((256..=MAX_FRAME_SIZE).contains(&agreed.max_frame_size));
                    assert_eq!(agreed.capabilities.fragmentation, self.limits.capabilities.fragmentation);
                    assert!(self.limits.capabilities.asynchronous || !agreed.capabilities.asynchronous);
                    let engine = self.session.engine();
                    assert_eq!(engine.is_some(), agreed.capabilities.asynchronous);
                    assert!(engine.is_none_or(|id| (1..=64).contains(&id.len())));
                    self.agreed = Some(agreed);
                }
                Event::Begun { id, start } => {
                    assert_eq!(self.output.len(), before);
                    self.begins(id, &start, &last.unwrap(), left);
                }
                Event::Notify { id, payload } => {
                    assert_eq!(self.output.len(), before);
                    self.comes(id, payload, &last.unwrap(), left);
                }
                Event::TooMuch(excess) => {
                    assert_eq!(self.output.len(), before);
                    let (id, state) = self.ends(&last.unwrap(), FIN, left);
                    assert!(matches!(state, Collected::TooMuch(found) if found == excess), "{excess:?}");
                    self.open.push(Open { id, _payload: Bytes::new(), taken: 0 });
                }
                Event::GivenUp => {
                    assert_eq!(self.output.len(), before);
                    let (_, state) = self.ends(&last.unwrap(), FIN | ABORT, left);
                    assert!(!matches!(state, Collected::Answered));
                    state.forget(left);
                }
                Event::HealthCheck => assert!(awaited),
                Event::PeerClosed(_) => {
                    assert!(!awaited);
                    self.forget(left);
                }
                Event::Rejected(cause) => {
                    assert!(self.session.is_closed() && cause.status() != Status::Normal);
                    assert!(self.output.len() > before, "a rejection without a word");
                    if let Some(frame) = last.filter(|_| !awaited) {
                        let fragment = matches!(frame.kind, FrameType::Notify | FrameType::Unset);
                        assert!(!fragment || !self.is_allowed(&frame), "{cause:?} for {frame:?}");
                    }
                    self.forget(left);
                }
            }
        }
    }

    /// Whether it is the length in front of what is left that was rejected.
    fn is_refused_on_sight(&self, event: &Event) -> bool {
        let limit = self.agreed.map_or(MAX_FRAME_SIZE, |agreed| agreed.max_frame_size);
        let Event::Rejected(cause) = event else { return false };
        Frame::decode(&mut self.input.clone(), limit).as_ref() == Err(cause)
    }

    /// Whether a frame may come now.
    fn is_allowed(&self, frame: &Frame) -> bool {
        let (fin, abort) = (frame.flags & FIN != 0, frame.flags & ABORT != 0);
        let Some(agreed) = self.agreed else { return frame.kind == FrameType::HaproxyHello };
        let fragments = agreed.capabilities.fragmentation;
        let idle = self.begun.as_ref().is_none_or(|begun| matches!(begun.state, Collected::Answered));
        let fits = 7 + frame.payload.len() <= agreed.max_frame_size as usize;
        fits && match frame.kind {
            FrameType::Notify => idle && (fin || fragments && !abort),
            FrameType::Unset => {
                fragments && (fin || !abort) && self.begun.as_ref().is_some_and(|begun| begun.id == frame.id)
            }
            FrameType::HaproxyDisconnect => fin && !abort && frame.id == FrameId::default(),
            _ => false,
        }
    }

    /// A fragment with which there is nothing to do.
    fn came_silently(&mut self, frame: &Frame, left: &mut usize) {
        assert!(frame.kind == FrameType::Unset && self.is_allowed(frame), "no word on {frame:?}");
        let begun = self.begun.as_mut().unwrap();
        if frame.is_final() {
            assert!(matches!(begun.state, Collected::Answered), "no word on the end of a payload");
            self.begun = None;
        } else {
            begun.state.push(&frame.payload, self.limits.max_payload, left);
        }
    }

    fn begins(&mut self, id: FrameId, start: &Bytes, frame: &Frame, left: &mut usize) {
        assert_eq!((frame.kind, frame.is_final()), (FrameType::Notify, false));
        assert_eq!((frame.id, &frame.payload), (id, start));
        let mut state = Collected::Bytes { bytes: Vec::new(), taken: 0 };
        state.push(start, self.limits.max_payload, left);
        self.begun = Some(Begun { id, state });
    }

    fn comes(&mut self, id: FrameId, payload: Bytes, frame: &Frame, left: &mut usize) {
        assert_eq!(frame.id, id);
        let mut taken = 0;
        if frame.kind == FrameType::Notify {
            assert!(frame.is_final());
            assert_eq!(payload, frame.payload);
            self.begun = None;
        } else {
            let (_, state) = self.ends(frame, FIN, left);
            let Collected::Bytes { bytes, taken: share } = state else { panic!("too much, and whole") };
            assert_eq!(payload, bytes);
            assert!(payload.len() <= self.limits.max_payload);
            taken = share;
        }
        self.open.push(Open { id, _payload: payload, taken });
    }

    /// What became of a payload with its last fragment.
    fn ends(&mut self, frame: &Frame, flags: u32, left: &mut usize) -> (FrameId, Collected) {
        assert_eq!((frame.kind, frame.flags & (FIN | ABORT)), (FrameType::Unset, flags));
        let mut begun = self.begun.take().unwrap();
        if flags == FIN {
            begun.state.push(&frame.payload, self.limits.max_payload, left);
        }
        (begun.id, begun.state)
    }

    fn forget(&mut self, left: &mut usize) {
        if let Some(begun) = self.begun.take() {
            begun.state.forget(left);
        }
    }

    fn answer(&mut self, which: usize, len: u8, left: &mut usize) {
        if self.open.is_empty() {
            return;
        }
        let open = self.open.swap_remove(which % self.open.len());
        let (before, actions) = (self.output.len(), actions(len));
        let written = self.session.acknowledge(open.id, &actions, &mut self.output);
        self.written(written.is_ok(), (open.id, FIN), &actions, before);
        *left += open.taken;
    }

    fn abort(&mut self, len: u8, left: &mut usize) {
        let (before, actions) = (self.output.len(), actions(len));
        let written = self.session.abort(&actions, &mut self.output);
        match &mut self.begun {
            Some(Begun { id, state }) if !matches!(state, Collected::Answered) => {
                let id = *id;
                std::mem::replace(state, Collected::Answered).forget(left);
                self.written(written.is_ok(), (id, FIN | ABORT), &actions, before);
            }
            _ => assert!(written.is_ok() && self.output.len() == before, "nothing to abort"),
        }
    }

    /// Expects the ACK, or knows why there is none.
    fn written(&mut self, written: bool, (id, flags): (FrameId, u32), actions: &Actions, before: usize) {
        if self.session.is_closed() {
            assert!(written && self.output.len() == before, "an ACK after the end");
            return;
        }
        let room = self.agreed.unwrap().max_frame_size as usize - 25;
        let fitting = actions.within(room);
        assert_eq!(written, fitting.len() <= room);
        if written {
            self.due.push((id, flags, Bytes::copy_from_slice(fitting)));
        } else {
            assert_eq!(self.output.len(), before);
        }
    }

    fn disconnect(&mut self, left: &mut usize) {
        let before = self.output.len();
        let closed = self.session.is_closed();
        self.session.disconnect(Status::Normal, &mut self.output);
        assert!(self.session.is_closed());
        assert_eq!(closed, self.output.len() == before, "one DISCONNECT, and no other after it");
        self.forget(left);
    }

    /// All that was said is whole frames in the order that SPOP allows.
    fn check(&mut self) {
        while let Some(frame) = Frame::decode(&mut self.output, u32::MAX).unwrap() {
            assert!(!self.told, "{frame:?} after the DISCONNECT");
            match frame.kind {
                FrameType::AgentHello => {
                    assert!(!self.greeted);
                    assert_eq!((frame.flags, frame.id), (FIN, FrameId::default()));
                    self.check_hello(&frame.payload);
                    self.greeted = true;
                }
                FrameType::AgentDisconnect => {
                    assert_eq!((frame.flags, frame.id), (FIN, FrameId::default()));
                    self.told = true;
                }
                FrameType::Ack => {
                    let length = 7 + frame.payload.len();
                    assert!(length <= self.agreed.unwrap().max_frame_size as usize);
                    assert_eq!((frame.id, frame.flags, frame.payload), self.due.remove(0));
                }
                other => panic!("the agent sends {other:?}"),
            }
        }
        assert!(self.output.is_empty(), "half a frame");
        assert!(self.due.is_empty(), "ACKs that were not sent");
        if self.session.is_closed() {
            assert!(self.told || self.greeted, "closed without a word");
        }
    }

    /// The AGENT-HELLO says what the event said.
    fn check_hello(&self, payload: &Bytes) {
        let mut reader = Reader::new(payload);
        let mut item = |name: &str| {
            assert_eq!(reader.bytes("a name"), Ok(name.as_bytes()));
            reader.value("a value").unwrap()
        };
        assert_eq!(item("version"), Value::String(b"2.0"));
        let (size, capabilities) = (item("max-frame-size"), item("capabilities"));
        assert!(reader.is_empty());
        if let Some(agreed) = self.agreed {
            assert_eq!(size, Value::Uint32(agreed.max_frame_size));
            assert_eq!(capabilities, Value::String(agreed.capabilities.names().as_bytes()));
        }
    }
}

/// Actions of which all are essential (an odd number), or the first alone.
fn actions(len: u8) -> Actions {
    let mut actions = ActionList::new();
    actions.set_var(Scope::Transaction, "code", Value::Int32(len.into()));
    if len.is_multiple_of(2) {
        actions.end_essential();
    }
    actions.set_var(Scope::Transaction, "body", Value::String(&vec![b'x'; usize::from(len) * 4]));
    actions.into_payload()
}

fn byte(steps: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = steps.split_first()?;
    *steps = rest;
    Some(first)
}

fn take<'a>(steps: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = steps.split_at(len.min(steps.len()));
    *steps = rest;
    taken
}

fn frame(steps: &mut &[u8]) -> Option<Vec<u8>> {
    let (kind, flags) = (byte(steps)?, byte(steps)?);
    let (stream, id) = (byte(steps)?, byte(steps)?);
    let len = usize::from(byte(steps)?) << 8 | usize::from(byte(steps)?);
    let payload = take(steps, len);
    let mut body = vec![kind];
    body.put_u32(flags.into());
    actors::spop::varint::encode(stream.into(), &mut body);
    actors::spop::varint::encode(id.into(), &mut body);
    body.extend_from_slice(payload);
    let mut out = (body.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(&body);
    Some(out)
}
