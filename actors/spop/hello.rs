//! The handshake: what each side supports (doc/SPOE.txt, sections 3.2.4 and 3.2.5).

use bytes::{Bytes, BytesMut};

use crate::spop::frame::{self, FrameId, FrameType, MIN_FRAME_SIZE};
use crate::spop::reader::{Malformed, Reader};
use crate::spop::status::{ProtocolError, Status};
use crate::spop::value::{Value, encode_bytes};

/// The version that this agent speaks.
pub const VERSION: &str = "2.0";

/// Bytes of the longest engine-id to keep; that of HAProxy is a UUID of 36.
const MAX_ENGINE_ID: usize = 64;

/// What a peer can do beyond the plain exchange of one NOTIFY for one ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// NOTIFYs need not wait for ACKs, which may come in any order.
    pub pipelining: bool,
    /// The side that announces it takes payloads in fragments, whatever the other side announces.
    pub fragmentation: bool,
    /// An ACK may come on any link of the same engine (`async`).
    pub asynchronous: bool,
}

impl Capabilities {
    /// The capabilities of this agent.
    pub const ALL: Self = Self { pipelining: true, fragmentation: true, asynchronous: true };

    /// The names of the capabilities in a HELLO frame, in the order of [`Capabilities::names`].
    pub const NAMES: &'static [&'static str] = &["pipelining", "fragmentation", "async"];

    /// Adds the capability with this name; `false` when this agent does not know the name.
    pub fn insert(&mut self, name: &str) -> bool {
        match name {
            "pipelining" => self.pipelining = true,
            "fragmentation" => self.fragmentation = true,
            "async" => self.asynchronous = true,
            _ => return false,
        }
        true
    }

    /// The names of the capabilities in this set, separated by commas.
    #[must_use]
    pub fn names(self) -> String {
        let has = [self.pipelining, self.fragmentation, self.asynchronous];
        let names = Self::NAMES.iter().zip(has).filter(|(_, has)| *has).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(",")
    }

    fn parse(list: &[u8]) -> Self {
        let mut found = Self::default();
        for name in list.split(|&byte| byte == b',') {
            if let Ok(name) = std::str::from_utf8(name.trim_ascii()) {
                found.insert(name);
            }
        }
        found
    }
}

/// The payload of a HAPROXY-HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaproxyHello {
    /// The largest frame that HAProxy takes and sends, in bytes.
    pub max_frame_size: u32,
    /// The capabilities of HAProxy that this agent knows.
    pub capabilities: Capabilities,
    /// Whether the link is a health check.
    pub healthcheck: bool,
    /// Names the SPOE engine in HAProxy that the link belongs to; HAProxy 3.1 and later does not send it.
    pub engine_id: Option<Bytes>,
}

impl HaproxyHello {
    /// Reads and checks the payload of a HAPROXY-HELLO.
    ///
    /// # Errors
    /// When the payload is malformed, an item is missing, no version is one that this agent speaks, or the frame size is
    /// below [`MIN_FRAME_SIZE`].
    pub fn decode(payload: &Bytes) -> Result<Self, ProtocolError> {
        let items = Items::decode(payload)
            .map_err(|cause| ProtocolError::malformed(format!("hello: {cause}"), cause))?;
        let versions = items.versions.ok_or_else(|| missing(Status::NoVersion))?;
        if !versions.split(|&byte| byte == b',').any(is_supported) {
            return Err(ProtocolError::new(
                Status::UnsupportedVersion,
                format!("hello: versions {}, this agent speaks {VERSION}", versions.escape_ascii()),
            ));
        }
        let max_frame_size = items.max_frame_size.ok_or_else(|| missing(Status::NoFrameSize))?;
        if max_frame_size < MIN_FRAME_SIZE {
            return Err(ProtocolError::new(
                Status::BadFrameSize,
                format!("hello: max-frame-size {max_frame_size}, at least {MIN_FRAME_SIZE} needed"),
            ));
        }
        let capabilities = match items.capabilities {
            Some(list) => Capabilities::parse(list),
            // HAProxy 3.1 and later sends no capabilities in a health check.
            None if items.healthcheck => Capabilities::default(),
            None => return Err(missing(Status::NoCapabilities)),
        };
        Ok(Self {
            max_frame_size,
            capabilities,
            healthcheck: items.healthcheck,
            engine_id: items.engine_id.map(|id| payload.slice_ref(id)),
        })
    }

    /// The engine-id; `None` when it is missing, empty, or longer than 64 bytes.
    #[must_use]
    pub fn engine(&self) -> Option<&Bytes> {
        self.engine_id.as_ref().filter(|id| (1..=MAX_ENGINE_ID).contains(&id.len()))
    }

    /// The agreement for the link: the smaller frame size, the capabilities of both sides, and fragmentation, if the agent
    /// takes it.
    ///
    /// HAProxy up to 3.0 sends fragments to an agent that announces `fragmentation`, and never announces it itself. HAProxy
    /// 3.1 and later sends no fragments and ignores the word. A health check has no payloads, so it is not announced there.
    #[must_use]
    pub fn agree(&self, max_frame_size: u32, ours: Capabilities) -> Agreement {
        Agreement {
            max_frame_size: self.max_frame_size.min(max_frame_size),
            capabilities: Capabilities {
                pipelining: self.capabilities.pipelining && ours.pipelining,
                fragmentation: ours.fragmentation && !self.healthcheck,
                asynchronous: self.capabilities.asynchronous && ours.asynchronous && self.engine().is_some(),
            },
        }
    }
}

fn missing(status: Status) -> ProtocolError {
    ProtocolError::new(status, "hello: item missing")
}

/// Any version 2.x is accepted: "When a major version is announced, all previous minor versions are supported" (SPOE.txt,
/// 3.2.4).
pub(super) fn is_supported(version: &[u8]) -> bool {
    match version.trim_ascii() {
        [b'2', b'.', minor @ ..] => !minor.is_empty() && minor.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[derive(Default)]
struct Items<'a> {
    versions: Option<&'a [u8]>,
    max_frame_size: Option<u32>,
    capabilities: Option<&'a [u8]>,
    healthcheck: bool,
    engine_id: Option<&'a [u8]>,
}

impl<'a> Items<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut items = Self::default();
        let mut healthcheck = None;
        let mut reader = Reader::new(payload);
        while !reader.is_empty() {
            let name = reader.bytes("the name of an item")?;
            let value = reader.value("the value of an item")?;
            match name {
                b"supported-versions" => once("supported-versions", &mut items.versions, string(value))?,
                b"max-frame-size" => once("max-frame-size", &mut items.max_frame_size, size(value))?,
                b"capabilities" => once("capabilities", &mut items.capabilities, string(value))?,
                b"healthcheck" => once("healthcheck", &mut healthcheck, boolean(value))?,
                b"engine-id" => once("engine-id", &mut items.engine_id, string(value))?,
                _ => {}
            }
        }
        items.healthcheck = healthcheck.unwrap_or(false);
        Ok(items)
    }
}

fn once<T>(name: &'static str, slot: &mut Option<T>, value: Option<T>) -> Result<(), Malformed> {
    if slot.is_some() {
        return Err(Malformed::Duplicate(name));
    }
    *slot = Some(value.ok_or(Malformed::WrongType(name))?);
    Ok(())
}

fn string(value: Value<'_>) -> Option<&[u8]> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn size(value: Value<'_>) -> Option<u32> {
    Some(u32::try_from(value.unsigned()?).unwrap_or(u32::MAX))
}

fn boolean(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(value),
        _ => None,
    }
}

/// What both sides keep to on a link; the payload of the AGENT-HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The largest frame on this link, in bytes.
    pub max_frame_size: u32,
    /// The capabilities that may be used on this link.
    pub capabilities: Capabilities,
}

impl Agreement {
    /// Appends the AGENT-HELLO frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut payload = BytesMut::with_capacity(96);
        encode_bytes(b"version", &mut payload);
        Value::String(VERSION.as_bytes()).encode(&mut payload);
        encode_bytes(b"max-frame-size", &mut payload);
        Value::Uint32(self.max_frame_size).encode(&mut payload);
        encode_bytes(b"capabilities", &mut payload);
        Value::String(self.capabilities.names().as_bytes()).encode(&mut payload);
        frame::encode(FrameType::AgentHello, FrameId::default(), &payload, out);
    }
}
