//! The state of a link, under any sequence of frames from the peer and of answers from the agent.
//!
//! The input is a list of steps, each an opcode and what belongs to it:
//!
//! | opcode modulo 8 | |
//! |---|---|
//! | 0 to 3 | a frame with its right length: type, flags, stream-id, frame-id (a byte each), u16 length, payload |
//! | 4 | the agent answers: which of the open NOTIFYs (a byte), how long the answer is (a byte, in steps of 4) |
//! | 5 | bytes as they are: u8 length, bytes |
//! | 6 | the engines are well (an odd byte) or not |
//! | 7 | the agent disconnects |

#![no_main]

use actors::spop::hello::Capabilities;
use actors::spop::{Disconnect, Event, Frame, FrameId, FrameType, Limits, Session, Status};
use bytes::{BufMut, Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_frame_size: 4096, capabilities: Capabilities::ALL };

fuzz_target!(|data: &[u8]| {
    let mut link = Link::new();
    let mut steps = data;
    while let Some(opcode) = byte(&mut steps) {
        match opcode % 8 {
            0..=3 => {
                let Some(frame) = frame(&mut steps) else { break };
                link.receive(&frame);
            }
            4 => {
                let (which, len) = (byte(&mut steps), byte(&mut steps));
                link.answer(which.unwrap_or(0).into(), usize::from(len.unwrap_or(0)) * 4 + 1);
            }
            5 => {
                let len = byte(&mut steps).unwrap_or(0);
                link.receive(take(&mut steps, len.into()));
            }
            6 => link.session.set_healthy(byte(&mut steps).unwrap_or(0) % 2 == 1),
            _ => link.disconnect(),
        }
        link.check();
    }
});

/// A session and what it said, read by what it may say.
struct Link {
    session: Session,
    input: BytesMut,
    output: BytesMut,
    /// NOTIFYs that were not answered.
    open: Vec<FrameId>,
    /// ACKs that must be in the output.
    due: Vec<FrameId>,
    agreed: Option<u32>,
    greeted: bool,
    told: bool,
}

impl Link {
    fn new() -> Self {
        Self {
            session: Session::new(LIMITS),
            input: BytesMut::new(),
            output: BytesMut::new(),
            open: Vec::new(),
            due: Vec::new(),
            agreed: None,
            greeted: false,
            told: false,
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        loop {
            let (closed, awaited, before) =
                (self.session.is_closed(), self.session.awaits_hello(), self.output.len());
            let Some(event) = self.session.receive(&mut self.input, &mut self.output) else {
                assert_eq!(self.output.len(), before, "an answer to nothing");
                break;
            };
            assert!(!closed, "{event:?} after the end");
            match event {
                Event::Open(agreed) => {
                    assert!(awaited && !self.session.awaits_hello());
                    assert!((256..=LIMITS.max_frame_size).contains(&agreed.max_frame_size));
                    self.agreed = Some(agreed.max_frame_size);
                }
                Event::Notify { id, .. } => {
                    assert!(!awaited, "a NOTIFY before the handshake");
                    assert_eq!(self.output.len(), before);
                    self.open.push(id);
                }
                Event::HealthCheck => assert!(awaited && self.session.is_closed()),
                Event::PeerClosed(_) => assert!(!awaited && self.session.is_closed()),
                Event::Rejected(cause) => {
                    assert!(self.session.is_closed() && cause.status() != Status::Normal);
                    assert!(self.output.len() > before, "a rejection without a word");
                }
            }
        }
    }

    fn answer(&mut self, which: usize, len: usize) {
        if self.open.is_empty() {
            return;
        }
        let id = self.open.swap_remove(which % self.open.len());
        let before = self.output.len();
        let actions = Bytes::from(vec![0; len]).into();
        match self.session.acknowledge(id, &actions, &mut self.output) {
            Ok(()) if self.session.is_closed() => {
                assert_eq!(self.output.len(), before, "an ACK after the end")
            }
            Ok(()) => self.due.push(id),
            Err(_) => {
                assert_eq!(self.output.len(), before);
                assert!(len + 25 > self.agreed.unwrap() as usize, "room for {len} bytes");
            }
        }
    }

    fn disconnect(&mut self) {
        let before = self.output.len();
        let closed = self.session.is_closed();
        self.session.disconnect(&Disconnect::new(Status::Normal, ""), &mut self.output);
        assert!(self.session.is_closed());
        assert_eq!(closed, self.output.len() == before, "one DISCONNECT, and no other after it");
    }

    /// All that was said is whole frames in the order that SPOP allows.
    fn check(&mut self) {
        while let Some(frame) = Frame::decode(&mut self.output, u32::MAX).unwrap() {
            assert!(!self.told, "{frame:?} after the DISCONNECT");
            assert_eq!(frame.flags, 1);
            match frame.kind {
                FrameType::AgentHello => {
                    assert!(!self.greeted);
                    assert_eq!(frame.id, FrameId::default());
                    self.greeted = true;
                }
                FrameType::AgentDisconnect => {
                    assert_eq!(frame.id, FrameId::default());
                    self.told = true;
                }
                FrameType::Ack => {
                    assert!(self.greeted);
                    assert_eq!(frame.id, self.due.remove(0));
                    let length = 7 + frame.payload.len();
                    assert!(length <= self.agreed.unwrap() as usize);
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
