//! A health check from the side of who asks: the hello that HAProxy's `option spop-check` sends, and whether the frame that
//! comes back is that of a healthy agent (doc/SPOE.txt, sections 3.2.4 and 3.2.5).

use std::error::Error;
use std::fmt;

use bytes::BytesMut;

use crate::spop::disconnect::PeerDisconnect;
use crate::spop::frame::{self, Frame, FrameId, FrameType};
use crate::spop::hello::{VERSION, is_supported};
use crate::spop::reader::{Malformed, Reader};
use crate::spop::value::{Value, encode_bytes};

/// The largest frame in bytes that the check offers to take: that of HAProxy with its default buffer.
pub const MAX_FRAME_SIZE: u32 = 16380;

/// Why the answer is not that of a healthy agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unhealthy {
    /// The agent refuses the link, with this status and message.
    Refused(u64, String),
    /// A frame that is no answer to a hello.
    UnexpectedFrame(FrameType),
    /// The agent speaks another version of SPOP, or names none.
    Version(String),
    /// The payload cannot be read.
    Malformed(Malformed),
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status, message) => {
                write!(f, "the agent refuses the link: {} ({status})", message.escape_debug())
            }
            Self::UnexpectedFrame(kind) => write!(f, "answered with a frame of type {kind:?}"),
            Self::Version(version) => {
                write!(f, "speaks version {:?} of SPOP, {VERSION} is needed", version)
            }
            Self::Malformed(cause) => write!(f, "answered with a malformed hello: {cause}"),
        }
    }
}

impl Error for Unhealthy {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Malformed(cause) => Some(cause),
            _ => None,
        }
    }
}

/// Appends the HAPROXY-HELLO of a health check to `out`. An agent answers it with its hello, and closes the link.
pub fn encode(out: &mut BytesMut) {
    let mut payload = BytesMut::with_capacity(96);
    encode_bytes(b"supported-versions", &mut payload);
    Value::String(VERSION.as_bytes()).encode(&mut payload);
    encode_bytes(b"max-frame-size", &mut payload);
    Value::Uint32(MAX_FRAME_SIZE).encode(&mut payload);
    encode_bytes(b"capabilities", &mut payload);
    Value::String(b"").encode(&mut payload);
    encode_bytes(b"healthcheck", &mut payload);
    Value::Bool(true).encode(&mut payload);
    frame::encode(FrameType::HaproxyHello, FrameId::default(), &payload, out);
}

/// Checks the frame that answers the hello.
///
/// # Errors
/// When it is not the AGENT-HELLO of an agent that speaks the same version.
pub fn check(answer: &Frame) -> Result<(), Unhealthy> {
    match answer.kind {
        FrameType::AgentHello => {
            let version = version(&answer.payload).map_err(Unhealthy::Malformed)?;
            if is_supported(version) {
                return Ok(());
            }
            Err(Unhealthy::Version(String::from_utf8_lossy(version).into_owned()))
        }
        FrameType::AgentDisconnect => {
            let why = PeerDisconnect::decode(&answer.payload).map_err(Unhealthy::Malformed)?;
            Err(Unhealthy::Refused(why.status, String::from_utf8_lossy(&why.message).into_owned()))
        }
        other => Err(Unhealthy::UnexpectedFrame(other)),
    }
}

/// The version in an AGENT-HELLO; empty when it has none.
fn version(payload: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(payload);
    let mut version = &b""[..];
    while !reader.is_empty() {
        let name = reader.bytes("the name of an item")?;
        let value = reader.value("the value of an item")?;
        if name == b"version" {
            version = value.bytes().ok_or(Malformed::WrongType("version"))?;
        }
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::spop::hello::{Capabilities, HaproxyHello};

    fn answered(kind: FrameType, payload: &'static [u8]) -> Result<(), Unhealthy> {
        check(&Frame {
            kind,
            flags: frame::FIN,
            id: FrameId::default(),
            payload: Bytes::from_static(payload),
        })
    }

    #[test]
    fn the_agent_takes_it_for_a_health_check_and_its_answer_is_healthy() {
        let mut bytes = BytesMut::new();
        encode(&mut bytes);
        let hello = Frame::decode(&mut bytes, MAX_FRAME_SIZE).unwrap().unwrap();
        assert_eq!(hello.kind, FrameType::HaproxyHello);
        let hello = HaproxyHello::decode(&hello.payload).unwrap();
        assert!(hello.healthcheck);
        hello.agree(16384, Capabilities::ALL).encode(&mut bytes);
        assert_eq!(check(&Frame::decode(&mut bytes, MAX_FRAME_SIZE).unwrap().unwrap()), Ok(()));
    }

    #[test]
    fn every_other_answer_has_its_cause() {
        let refused =
            answered(FrameType::AgentDisconnect, b"\x0bstatus-code\x03\x0d\x07message\x08\x04no\n!");
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the agent refuses the link: no\\n! (13)",
            "a peer cannot break the line"
        );
        assert_eq!(answered(FrameType::Ack, b""), Err(Unhealthy::UnexpectedFrame(FrameType::Ack)));
        for (payload, version) in [(&b""[..], ""), (b"\x07version\x08\x031.0", "1.0")] {
            assert_eq!(answered(FrameType::AgentHello, payload), Err(Unhealthy::Version(version.to_owned())));
        }
        for payload in [&b"\x07version"[..], b"\x07version\x11", b"\xff"] {
            let found = answered(FrameType::AgentHello, payload);
            assert!(matches!(found, Err(Unhealthy::Malformed(_))), "{found:?}");
        }
    }
}
