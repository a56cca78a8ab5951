//! DISCONNECT: either side says why it is about to close the link (doc/SPOE.txt, sections 3.2.8 and 3.2.9).

use bytes::{Bytes, BytesMut};

use crate::spop::frame::{self, FrameId, FrameType};
use crate::spop::reader::{Malformed, Reader};
use crate::spop::status::Status;
use crate::spop::value::{Value, encode_bytes};

/// Appends an AGENT-DISCONNECT frame with this status and its standard message to `out`.
pub fn encode(status: Status, out: &mut BytesMut) {
    let mut payload = BytesMut::with_capacity(96);
    encode_bytes(b"status-code", &mut payload);
    Value::Uint32(status as u32).encode(&mut payload);
    encode_bytes(b"message", &mut payload);
    Value::String(status.message().as_bytes()).encode(&mut payload);
    frame::encode(FrameType::AgentDisconnect, FrameId::default(), &payload, out);
}

/// The payload of a HAPROXY-DISCONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDisconnect {
    /// The status code; 0 is a normal close.
    pub status: u64,
    /// The text, which shares the payload.
    pub message: Bytes,
}

impl PeerDisconnect {
    /// Reads the payload of a HAPROXY-DISCONNECT; a missing status counts as 0, a missing message as empty.
    ///
    /// # Errors
    /// When the payload is cut, or an item has the wrong type.
    pub fn decode(payload: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let mut found = Self { status: 0, message: Bytes::new() };
        while !reader.is_empty() {
            let name = reader.bytes("the name of an item")?;
            let value = reader.value("the value of an item")?;
            match name {
                b"status-code" => {
                    found.status = value.unsigned().ok_or(Malformed::WrongType("status-code"))?;
                }
                b"message" => {
                    let text = value.bytes().ok_or(Malformed::WrongType("message"))?;
                    found.message = payload.slice_ref(text);
                }
                _ => {}
            }
        }
        Ok(found)
    }
}
