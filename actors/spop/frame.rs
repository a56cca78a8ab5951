//! Frames: the units of the SPOP byte stream (doc/SPOE.txt, section 3.2).
//!
//! `u32 length | u8 type | u32 flags | varint stream-id | varint frame-id | payload`, integers in network byte order.
//! The length does not count itself, and neither does a negotiated maximum frame size.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::spop::reader::{Malformed, Reader};
use crate::spop::status::{ProtocolError, Status};
use crate::spop::varint;

/// The smallest maximum frame size that either side may ask for.
pub const MIN_FRAME_SIZE: u32 = 256;

/// The largest maximum frame size that this agent offers.
pub const MAX_FRAME_SIZE: u32 = 16 * 1024 * 1024;

/// Set on the last (or only) frame of a payload.
pub const FIN: u32 = 1;

/// Set on a frame that aborts a payload whose earlier fragments were sent.
pub const ABORT: u32 = 2;

/// Bytes of the length in front of each frame.
const LENGTH: usize = 4;

/// Bytes of the shortest frame: type, flags and two one-byte identifiers.
const SHORTEST: usize = 7;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// A later fragment of the payload that an earlier frame began.
    Unset,
    /// HAProxy opens a link.
    HaproxyHello,
    /// HAProxy is about to close the link.
    HaproxyDisconnect,
    /// Messages to process.
    Notify,
    /// The agent's answer to a hello.
    AgentHello,
    /// The agent is about to close the link.
    AgentDisconnect,
    /// The actions that answer one NOTIFY.
    Ack,
    /// A number that SPOP 2.0 does not define.
    Unknown(u8),
}

impl From<u8> for FrameType {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Unset,
            1 => Self::HaproxyHello,
            2 => Self::HaproxyDisconnect,
            3 => Self::Notify,
            101 => Self::AgentHello,
            102 => Self::AgentDisconnect,
            103 => Self::Ack,
            other => Self::Unknown(other),
        }
    }
}

impl From<FrameType> for u8 {
    fn from(kind: FrameType) -> Self {
        match kind {
            FrameType::Unset => 0,
            FrameType::HaproxyHello => 1,
            FrameType::HaproxyDisconnect => 2,
            FrameType::Notify => 3,
            FrameType::AgentHello => 101,
            FrameType::AgentDisconnect => 102,
            FrameType::Ack => 103,
            FrameType::Unknown(number) => number,
        }
    }
}

/// The identifiers of a NOTIFY, which its ACK repeats.
///
/// They are unique on one link at most (HAProxy 3.1 and later count per connection), so they do not name a request in the
/// log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameId {
    /// STREAM-ID.
    pub stream: u64,
    /// FRAME-ID.
    pub frame: u64,
}

/// One frame, with a payload that shares the read buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type.
    pub kind: FrameType,
    /// [`FIN`], [`ABORT`] and reserved bits.
    pub flags: u32,
    /// The identifiers; both 0 in HELLO and DISCONNECT.
    pub id: FrameId,
    /// The payload, or one fragment of it.
    pub payload: Bytes,
}

impl Frame {
    /// Takes the next whole frame off the front of `input`; `None` when more bytes are needed.
    ///
    /// `limit` is the largest frame to accept, in bytes. A longer one is refused as soon as its length is read.
    ///
    /// # Errors
    /// When the frame is longer than `limit`, or too short for its identifiers.
    pub fn decode(input: &mut BytesMut, limit: u32) -> Result<Option<Self>, ProtocolError> {
        let Some(&length) = input.first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length);
        if length > limit {
            return Err(ProtocolError::new(
                Status::TooBig,
                format!("frame of {length} bytes, at most {limit} allowed"),
            ));
        }
        let length = length as usize;
        if length < SHORTEST {
            return Err(ProtocolError::new(
                Status::Invalid,
                format!("frame of {length} bytes, at least {SHORTEST} needed"),
            ));
        }
        if input.len() < LENGTH + length {
            return Ok(None);
        }
        input.advance(LENGTH);
        Self::parse(input.split_to(length).freeze()).map(Some)
    }

    fn parse(mut bytes: Bytes) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(&bytes);
        let invalid = |cause: Malformed| ProtocolError::malformed(cause.to_string(), cause);
        let kind = reader.byte("the frame type").map_err(invalid)?.into();
        let mut flags = 0;
        for _ in 0..4 {
            flags = flags << 8 | u32::from(reader.byte("the frame flags").map_err(invalid)?);
        }
        let stream = reader.varint("the stream-id").map_err(invalid)?;
        let frame = reader.varint("the frame-id").map_err(invalid)?;
        let payload = reader.rest().len();
        bytes.advance(bytes.len() - payload);
        Ok(Self { kind, flags, id: FrameId { stream, frame }, payload: bytes })
    }

    /// Whether this is the last frame of its payload.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.flags & FIN != 0
    }

    /// Whether the sender aborts the payload.
    #[must_use]
    pub fn is_abort(&self) -> bool {
        self.flags & ABORT != 0
    }
}

/// Appends a whole, unfragmented frame to `out`, its length in front.
///
/// The caller keeps the payload below the negotiated size.
pub fn encode(kind: FrameType, id: FrameId, payload: &[u8], out: &mut BytesMut) {
    encode_with(FIN, kind, id, payload, out);
}

/// Like [`encode`], with these flags.
pub fn encode_with(flags: u32, kind: FrameType, id: FrameId, payload: &[u8], out: &mut BytesMut) {
    let length = 5 + varint::encoded_len(id.stream) + varint::encoded_len(id.frame) + payload.len();
    out.reserve(LENGTH + length);
    out.put_u32(length as u32);
    out.put_u8(kind.into());
    out.put_u32(flags);
    varint::encode(id.stream, out);
    varint::encode(id.frame, out);
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    // A NOTIFY of stream 1, frame 1, with a payload of three bytes.
    const NOTIFY: &[u8] = b"\x00\x00\x00\x0A\x03\x00\x00\x00\x01\x01\x01abc";

    #[test]
    fn a_frame_from_its_bytes() {
        let mut input = BytesMut::from(NOTIFY);
        let frame = Frame::decode(&mut input, 256).unwrap().unwrap();
        assert_eq!(frame.kind, FrameType::Notify);
        assert_eq!(frame.flags, FIN);
        assert_eq!(frame.id, FrameId { stream: 1, frame: 1 });
        assert_eq!(frame.payload, &b"abc"[..]);
        assert!(input.is_empty());
    }

    #[test]
    fn a_frame_that_comes_byte_by_byte_is_waited_for() {
        let mut input = BytesMut::new();
        let (last, first) = NOTIFY.split_last().unwrap();
        for &byte in first {
            input.put_u8(byte);
            assert_eq!(Frame::decode(&mut input, 256), Ok(None));
        }
        input.put_u8(*last);
        assert!(Frame::decode(&mut input, 256).unwrap().is_some());
    }

    #[test]
    fn an_oversized_frame_is_refused_on_sight_of_its_length() {
        let mut input = BytesMut::from(&b"\x00\x00\x01\x01"[..]);
        assert_eq!(Frame::decode(&mut input, 256).unwrap_err().status(), Status::TooBig);
    }

    #[test]
    fn a_frame_too_short_for_its_head_is_invalid() {
        let mut input = BytesMut::from(&b"\x00\x00\x00\x06\x03\x00\x00\x00\x01\x01"[..]);
        assert_eq!(Frame::decode(&mut input, 256).unwrap_err().status(), Status::Invalid);
        // Long enough in all, but the identifiers eat more than is there.
        let mut input = BytesMut::from(&b"\x00\x00\x00\x07\x03\x00\x00\x00\x01\xF0\xF0"[..]);
        assert_eq!(Frame::decode(&mut input, 256).unwrap_err().status(), Status::Invalid);
    }

    #[test]
    fn what_is_encoded_is_the_same_bytes() {
        let mut out = BytesMut::new();
        encode(FrameType::Notify, FrameId { stream: 1, frame: 1 }, b"abc", &mut out);
        assert_eq!(&out[..], NOTIFY);
    }
}
