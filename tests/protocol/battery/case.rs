//! What a case is, and the words to write one with.

use crate::support::process::engine;
use crate::support::spop::{Message, hello, hello_frame};
use crate::support::wire::{FIN, Frame, NOTIFY};

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// The AGENT-HELLO.
    Greeting,
    /// An ACK with this stream-id and frame-id.
    Ack(u64, u64, Verdict),
    /// An AGENT-DISCONNECT with this code, and then the end of the link.
    Bye(i64),
    /// The end of the link.
    Close,
    /// Nothing: a good request on the same link is answered.
    Open,
}

/// What an ACK says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Clean,
    Denied(i64),
    /// `error` is `invalid`, and `code` is not set.
    Invalid,
    /// `error` is `engine`, and `code` is not set.
    Failed,
}

/// What a header with a zero byte gets: ModSecurity 2.9 works with C strings, so it cannot be asked about one.
pub fn with_zero_byte(three: Verdict) -> Verdict {
    if engine() == 2 { Verdict::Failed } else { three }
}

/// What a peer sends, and what it must get.
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    /// The peer sends no more after that, and says so.
    pub ends: bool,
    pub expected: Vec<Answer>,
}

/// A peer that sends this first.
pub fn first(name: impl Into<String>, bytes: impl Into<Vec<u8>>, expected: &[Answer]) -> Case {
    Case { name: name.into(), bytes: bytes.into(), ends: false, expected: expected.to_vec() }
}

/// A peer that sends this in one write with a good HELLO.
pub fn greeted(name: impl Into<String>, bytes: impl Into<Vec<u8>>, expected: &[Answer]) -> Case {
    let bytes = [good_hello(), bytes.into()].concat();
    Case { name: name.into(), bytes, ends: false, expected: [&[Answer::Greeting], expected].concat() }
}

/// A NOTIFY with this payload on a good link, which stays good.
pub fn notify(name: impl Into<String>, payload: impl Into<Vec<u8>>, verdict: Verdict) -> Case {
    let bytes = frame(NOTIFY, FIN, 1, 1, &payload.into());
    greeted(name, bytes, &[Answer::Ack(1, 1, verdict), Answer::Open])
}

impl Case {
    /// The same from a peer that sends no more after it.
    pub fn then_ends(mut self) -> Self {
        self.ends = true;
        self
    }
}

/// A frame with its right length.
pub fn frame(kind: u8, flags: u32, stream: u64, id: u64, payload: &[u8]) -> Vec<u8> {
    Frame::new(kind, stream, id, payload.to_vec()).flags(flags).encode()
}

/// A frame of which only the length is right.
pub fn bytes_of_length(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

/// The HELLO of HAProxy 2.6.
pub fn good_hello() -> Vec<u8> {
    hello_frame(hello()).encode()
}

/// A clean request.
pub fn clean() -> Message {
    Message::get("/", Some("a=1"))
}

/// A request that the rules deny with 471.
pub fn attack() -> Message {
    Message::get("/", Some("deny=query"))
}

/// The bytes of a length and of what should be as long.
pub fn lying(length: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::support::wire::varint(&mut out, length);
    out.extend_from_slice(bytes);
    out
}
