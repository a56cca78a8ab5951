//! The state of one link: handshake first, then NOTIFYs until either side disconnects.
//!
//! Bytes in, bytes and events out; the caller owns the socket and the clock.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::spop::action::Actions;
use crate::spop::disconnect::{self, PeerDisconnect};
use crate::spop::foreign;
use crate::spop::frame::{self, ABORT, FIN, Frame, FrameId, FrameType};
use crate::spop::hello::{Agreement, Capabilities, HaproxyHello};
use crate::spop::reassembly::{Budget, Excess, Reassembly, Step};
use crate::spop::status::{ProtocolError, Status};

/// The largest HELLO to accept, in bytes; that of HAProxy has about 150.
const MAX_HELLO: u32 = 16 * 1024;

/// The limits of a link on the agent's side.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest frame, in bytes, from [`frame::MIN_FRAME_SIZE`] to [`frame::MAX_FRAME_SIZE`].
    pub max_frame_size: u32,
    /// The largest payload in fragments, in bytes.
    pub max_payload: usize,
    /// The capabilities to agree on, as far as HAProxy has them.
    pub capabilities: Capabilities,
}

/// What the caller has to do after a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done: NOTIFYs follow.
    Open(Agreement),
    /// The first fragment of a payload. [`Event::Notify`], [`Event::TooMuch`] or [`Event::GivenUp`] follows, unless the caller
    /// answers first with [`Session::abort`].
    Begun {
        /// The identifiers.
        id: FrameId,
        /// The first fragment. It usually has the name of the first message, but may be cut anywhere.
        start: Bytes,
    },
    /// A whole NOTIFY. The caller answers it with one [`Session::acknowledge`] that repeats `id`.
    Notify {
        /// The identifiers.
        id: FrameId,
        /// The messages.
        payload: Bytes,
    },
    /// The last fragment of a payload that is refused. The caller answers it like an [`Event::Notify`].
    TooMuch(Excess),
    /// HAProxy has aborted the payload that has begun, and waits for no answer.
    GivenUp,
    /// A health check, which was answered: flush and close.
    HealthCheck,
    /// A DISCONNECT of HAProxy, which was answered: flush and close.
    PeerClosed(PeerDisconnect),
    /// The peer broke the protocol, and an AGENT-DISCONNECT was sent: flush and close.
    Rejected(ProtocolError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitHello,
    Open(Agreement),
    Closed,
}

/// The protocol state of one link.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    state: State,
    fragments: Reassembly,
    /// The engine-id, when both sides have `async`.
    engine: Option<Bytes>,
    healthy: bool,
}

impl Session {
    /// A link on which nothing was received yet. Payloads in fragments are taken out of the budget.
    #[must_use]
    pub fn new(limits: Limits, budget: Budget) -> Self {
        let fragments = Reassembly::new(limits.max_payload, budget);
        Self { limits, state: State::AwaitHello, fragments, engine: None, healthy: true }
    }

    /// Whether the handshake is still to come.
    #[must_use]
    pub fn awaits_hello(&self) -> bool {
        self.state == State::AwaitHello
    }

    /// Whether nothing more is received or added to the output.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The engine-id, when both sides have `async`: an ACK may come on any link with the same engine-id.
    #[must_use]
    pub fn engine(&self) -> Option<&Bytes> {
        self.engine.as_ref()
    }

    /// Closes the session without a DISCONNECT, because the link has ended.
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.fragments.clear();
    }

    /// Sets whether a health check succeeds. When it does not, the answer is a DISCONNECT, and HAProxy marks the server as
    /// down.
    pub fn set_healthy(&mut self, healthy: bool) {
        self.healthy = healthy;
    }

    /// Takes frames off `input` up to the next event, and appends the protocol's own answers (HELLO, DISCONNECT) to `output`.
    ///
    /// `None` when more bytes are needed, or when the session is closed.
    pub fn receive(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Option<Event> {
        loop {
            let limit = match self.state {
                State::AwaitHello => MAX_HELLO.min(self.limits.max_frame_size),
                State::Open(agreed) => agreed.max_frame_size,
                State::Closed => return None,
            };
            let event = match Frame::decode(input, limit) {
                Ok(None) => return None,
                Ok(Some(frame)) => self.accept(&frame, output),
                Err(cause) => Err(match foreign::protocol(input).filter(|_| self.awaits_hello()) {
                    Some(protocol) => {
                        ProtocolError::new(cause.status(), format!("the peer speaks {protocol}"))
                    }
                    None => cause,
                }),
            };
            match event {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(cause) => {
                    self.disconnect(cause.status(), output);
                    return Some(Event::Rejected(cause));
                }
            }
        }
    }

    /// Appends the ACK of the NOTIFY with this `id` to `output`; nothing when the session is closed.
    ///
    /// # Errors
    /// When the essential actions do not fit in one frame: HAProxy takes no fragments.
    pub fn acknowledge(
        &self,
        id: FrameId,
        actions: &Actions,
        output: &mut BytesMut,
    ) -> Result<(), AckTooBig> {
        self.encode_ack(FIN, id, actions, output)
    }

    /// Appends an ACK with ABORT for the NOTIFY whose fragments are still to come, and ignores those that come now. Appends
    /// nothing when there is no such NOTIFY.
    ///
    /// # Errors
    /// When the essential actions do not fit in one frame: HAProxy takes no fragments.
    pub fn abort(&mut self, actions: &Actions, output: &mut BytesMut) -> Result<(), AckTooBig> {
        self.fragments.abort().map_or(Ok(()), |id| self.encode_ack(FIN | ABORT, id, actions, output))
    }

    fn encode_ack(
        &self,
        flags: u32,
        id: FrameId,
        actions: &Actions,
        output: &mut BytesMut,
    ) -> Result<(), AckTooBig> {
        let State::Open(agreed) = self.state else {
            return Ok(());
        };
        // 5 bytes of type and flags, and at most 10 for each identifier.
        let room = (agreed.max_frame_size as usize).saturating_sub(25);
        let actions = actions.within(room);
        if actions.len() > room {
            return Err(AckTooBig);
        }
        debug_assert!(!actions.is_empty(), "HAProxy 3.1 hangs on an ACK without actions");
        frame::encode_with(flags, FrameType::Ack, id, actions, output);
        Ok(())
    }

    /// Appends an AGENT-DISCONNECT with this status to `output` and closes the session, unless it is closed.
    pub fn disconnect(&mut self, status: Status, output: &mut BytesMut) {
        if self.state != State::Closed {
            disconnect::encode(status, output);
            self.close();
        }
    }

    /// Handles one frame; `None` when the caller has nothing to do.
    fn accept(&mut self, frame: &Frame, output: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
        let fragments = matches!(self.state, State::Open(agreed) if agreed.capabilities.fragmentation);
        match (self.state, frame.kind) {
            (State::AwaitHello, FrameType::HaproxyHello) => self.hello(frame, output).map(Some),
            (State::AwaitHello, other) => Err(unexpected(other, "before the handshake")),
            (_, FrameType::Notify) if frame.is_final() => {
                self.fragments.check_idle()?;
                self.fragments.clear();
                Ok(Some(Event::Notify { id: frame.id, payload: frame.payload.clone() }))
            }
            (_, FrameType::Notify | FrameType::Unset) if !fragments => {
                Err(ProtocolError::new(Status::NoFragmentation, "a fragment came, and none was asked for"))
            }
            (_, FrameType::Notify) => {
                self.fragments.begin(frame)?;
                Ok(Some(Event::Begun { id: frame.id, start: frame.payload.clone() }))
            }
            (_, FrameType::Unset) => Ok(match self.fragments.go_on(frame)? {
                Step::More | Step::Answered => None,
                Step::Whole(payload) => Some(Event::Notify { id: frame.id, payload }),
                Step::TooMuch(excess) => Some(Event::TooMuch(excess)),
                Step::GivenUp => Some(Event::GivenUp),
            }),
            (_, FrameType::HaproxyDisconnect) => {
                whole(frame)?;
                let peer = PeerDisconnect::decode(&frame.payload)
                    .map_err(|cause| ProtocolError::malformed(format!("disconnect: {cause}"), cause))?;
                self.disconnect(Status::Normal, output);
                Ok(Some(Event::PeerClosed(peer)))
            }
            (_, other) => Err(unexpected(other, "after the handshake")),
        }
    }

    fn hello(&mut self, frame: &Frame, output: &mut BytesMut) -> Result<Event, ProtocolError> {
        whole(frame)?;
        let hello = HaproxyHello::decode(&frame.payload)?;
        if hello.healthcheck && !self.healthy {
            self.disconnect(Status::Resources, output);
            return Ok(Event::HealthCheck);
        }
        let agreed = hello.agree(self.limits.max_frame_size, self.limits.capabilities);
        agreed.encode(output);
        if hello.healthcheck {
            self.state = State::Closed;
            return Ok(Event::HealthCheck);
        }
        self.state = State::Open(agreed);
        // A copy, so that the engine-id does not hold the whole read buffer in memory.
        let engine = hello.engine().filter(|_| agreed.capabilities.asynchronous);
        self.engine = engine.map(|id| Bytes::copy_from_slice(id));
        Ok(Event::Open(agreed))
    }
}

/// Checks that a HELLO or DISCONNECT is one whole frame with both identifiers 0.
fn whole(frame: &Frame) -> Result<(), ProtocolError> {
    if !frame.is_final() {
        return Err(ProtocolError::new(Status::NoFragmentation, "a hello or disconnect was fragmented"));
    }
    if frame.is_abort() || frame.id != FrameId::default() {
        return Err(ProtocolError::new(
            Status::Invalid,
            "a hello or disconnect has the ABORT flag or an identifier other than 0",
        ));
    }
    Ok(())
}

fn unexpected(kind: FrameType, when: &str) -> ProtocolError {
    ProtocolError::new(Status::Invalid, format!("frame of type {} {when}", u8::from(kind)))
}

/// The actions of an ACK do not fit in the frame size that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckTooBig;

impl fmt::Display for AckTooBig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the actions do not fit in a frame")
    }
}

impl std::error::Error for AckTooBig {}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;
    use crate::spop::value::{Value, encode_bytes};

    const LIMITS: Limits =
        Limits { max_frame_size: 16384, max_payload: 1 << 20, capabilities: Capabilities::ALL };

    /// One item of a hello; `None` leaves it out.
    type Item<'a> = (&'a str, Option<Value<'a>>);

    fn hello(changes: &[Item<'_>]) -> BytesMut {
        let mut items: Vec<Item<'_>> = vec![
            ("supported-versions", Some(Value::String(b"2.0"))),
            ("max-frame-size", Some(Value::Uint32(16380))),
            ("capabilities", Some(Value::String(b"pipelining,async"))),
        ];
        for change in changes {
            items.retain(|(name, _)| *name != change.0);
            items.push(*change);
        }
        let mut payload = BytesMut::new();
        for (name, value) in items {
            if let Some(value) = value {
                encode_bytes(name.as_bytes(), &mut payload);
                value.encode(&mut payload);
            }
        }
        let mut out = BytesMut::new();
        frame::encode(FrameType::HaproxyHello, FrameId::default(), &payload, &mut out);
        out
    }

    fn answer(input: &[u8]) -> (Option<Event>, BytesMut) {
        let mut output = BytesMut::new();
        let event =
            Session::new(LIMITS, Budget::new(1 << 20)).receive(&mut BytesMut::from(input), &mut output);
        (event, output)
    }

    fn rejection(input: &[u8]) -> Status {
        match answer(input) {
            (Some(Event::Rejected(cause)), output) => {
                assert_eq!(output[4], 102, "an AGENT-DISCONNECT is sent");
                cause.status()
            }
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_agent_hello_is_these_bytes() {
        let (event, output) = answer(&hello(&[]));
        assert!(matches!(event, Some(Event::Open(_))));
        let mut expected = BytesMut::new();
        expected.put_slice(b"\x00\x00\x00\x4E");
        expected.put_slice(b"\x65\x00\x00\x00\x01\x00\x00");
        expected.put_slice(b"\x07version\x08\x032.0");
        // 16380 as UINT32 in the peers encoding: 0xFC | ((16380 - 240) >> 4 = 1008) as 0xF0, then 6.
        expected.put_slice(b"\x0Emax-frame-size\x03\xFC\xF0\x06");
        expected.put_slice(b"\x0Ccapabilities\x08\x18pipelining,fragmentation");
        assert_eq!(output, expected);
    }

    #[test]
    fn each_flaw_of_a_hello_has_its_code() {
        let cases: &[(Item<'_>, Status)] = &[
            (("supported-versions", None), Status::NoVersion),
            (("supported-versions", Some(Value::String(b"1.0, 3.0"))), Status::UnsupportedVersion),
            (("supported-versions", Some(Value::String(b"2."))), Status::UnsupportedVersion),
            (("supported-versions", Some(Value::Uint32(2))), Status::Invalid),
            (("max-frame-size", None), Status::NoFrameSize),
            (("max-frame-size", Some(Value::Uint32(255))), Status::BadFrameSize),
            (("max-frame-size", Some(Value::String(b"16380"))), Status::Invalid),
            (("capabilities", None), Status::NoCapabilities),
            (("healthcheck", Some(Value::String(b"true"))), Status::Invalid),
        ];
        for (change, status) in cases {
            assert_eq!(rejection(&hello(&[*change])), *status, "{change:?}");
        }
        let mut twice = BytesMut::new();
        for _ in 0..2 {
            encode_bytes(b"capabilities", &mut twice);
            Value::String(b"").encode(&mut twice);
        }
        let mut input = BytesMut::new();
        frame::encode(FrameType::HaproxyHello, FrameId::default(), &twice, &mut input);
        assert_eq!(rejection(&input), Status::Invalid);
    }

    #[test]
    fn a_later_minor_version_and_spaces_are_understood() {
        let (event, _) = answer(&hello(&[("supported-versions", Some(Value::String(b"1.5, 2.1 ")))]));
        assert!(matches!(event, Some(Event::Open(_))));
    }

    #[test]
    fn a_health_check_needs_no_capabilities_and_ends_the_session() {
        let check = hello(&[("capabilities", None), ("healthcheck", Some(Value::Bool(true)))]);
        let (event, output) = answer(&check);
        assert_eq!(event, Some(Event::HealthCheck));
        assert_eq!(output[4], 101);
    }

    #[test]
    fn frames_out_of_turn_are_rejected() {
        // type, flags, stream, frame, with no payload, before the handshake and after it.
        type Case = (u8, u32, u64, Option<Status>, Option<Status>);
        let cases: &[Case] = &[
            (0, 1, 1, Some(Status::Invalid), Some(Status::Interlaced)),
            (1, 1, 0, Some(Status::NoVersion), Some(Status::Invalid)),
            (1, 0, 0, Some(Status::NoFragmentation), Some(Status::Invalid)),
            (1, 3, 0, Some(Status::Invalid), Some(Status::Invalid)),
            (1, 1, 7, Some(Status::Invalid), Some(Status::Invalid)),
            (2, 1, 0, Some(Status::Invalid), None),
            (3, 1, 1, Some(Status::Invalid), None),
            (3, 0, 1, Some(Status::Invalid), None),
            (101, 1, 0, Some(Status::Invalid), Some(Status::Invalid)),
            (103, 1, 1, Some(Status::Invalid), Some(Status::Invalid)),
            (77, 1, 1, Some(Status::Invalid), Some(Status::Invalid)),
        ];
        for &(kind, flags, stream, before, after) in cases {
            let mut input = BytesMut::new();
            input.put_u32(7);
            input.put_u8(kind);
            input.put_u32(flags);
            input.put_u8(stream as u8);
            input.put_u8(u8::from(stream != 0));
            for (greeted, expected) in [(false, before), (true, after)] {
                let (mut session, mut output) = (Session::new(LIMITS, Budget::new(1 << 20)), BytesMut::new());
                if greeted {
                    session.receive(&mut hello(&[]), &mut output).unwrap();
                }
                let found = match session.receive(&mut input.clone(), &mut output) {
                    Some(Event::Rejected(cause)) => Some(cause.status()),
                    Some(_) => None,
                    None => panic!("silence on type {kind}"),
                };
                assert_eq!(found, expected, "type {kind} flags {flags} greeted {greeted}");
            }
        }
    }

    #[test]
    fn haproxys_disconnect_is_answered_with_normal() {
        let (mut session, mut output) = (Session::new(LIMITS, Budget::new(1 << 20)), BytesMut::new());
        session.receive(&mut hello(&[]), &mut output).unwrap();
        output.clear();
        let mut input = BytesMut::new();
        input.put_slice(b"\x00\x00\x00\x24\x02\x00\x00\x00\x01\x00\x00");
        input.put_slice(b"\x0Bstatus-code\x03\x02\x07message\x08\x05a\nb\xFFc");
        let Some(Event::PeerClosed(peer)) = session.receive(&mut input, &mut output) else { panic!() };
        assert_eq!((peer.status, &peer.message[..]), (2, &b"a\nb\xFFc"[..]));
        assert_eq!(
            &output[4..],
            b"\x66\x00\x00\x00\x01\x00\x00\x0Bstatus-code\x03\x00\x07message\x08\x06normal"
        );
        assert!(session.is_closed());
    }

    #[test]
    fn an_ack_repeats_the_identifiers_and_never_exceeds_the_frame() {
        let (mut session, mut output) = (Session::new(LIMITS, Budget::new(1 << 20)), BytesMut::new());
        session.receive(&mut hello(&[("max-frame-size", Some(Value::Uint32(256)))]), &mut output).unwrap();
        output.clear();
        session
            .acknowledge(FrameId { stream: 300, frame: 2 }, &Bytes::from_static(b"xyz").into(), &mut output)
            .unwrap();
        assert_eq!(&output[..], b"\x00\x00\x00\x0B\x67\x00\x00\x00\x01\xFC\x03\x02xyz");
        assert_eq!(
            session.acknowledge(FrameId::default(), &Bytes::from_static(&[0; 240]).into(), &mut output),
            Err(AckTooBig)
        );
    }
}
