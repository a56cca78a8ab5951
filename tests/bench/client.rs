//! A client for benches that need no more than to send frames and to count those that come.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use actors::spop::value::encode_bytes;
use actors::spop::{Frame, FrameId, FrameType, Value, frame};
use bytes::BytesMut;

/// HAProxy's end of a link.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    input: BytesMut,
}

impl Client {
    /// A link after its handshake.
    pub(crate) fn connect(address: impl ToSocketAddrs) -> Self {
        let mut client = Self { stream: TcpStream::connect(address).unwrap(), input: BytesMut::new() };
        client.stream.set_nodelay(true).unwrap();
        let mut payload = BytesMut::new();
        for (name, value) in [
            ("supported-versions", Value::String(b"2.0")),
            ("max-frame-size", Value::Uint32(16380)),
            ("capabilities", Value::String(b"pipelining")),
        ] {
            encode_bytes(name.as_bytes(), &mut payload);
            value.encode(&mut payload);
        }
        let mut hello = BytesMut::new();
        frame::encode(FrameType::HaproxyHello, FrameId::default(), &payload, &mut hello);
        client.stream.write_all(&hello).unwrap();
        client.receive();
        client
    }

    /// Waits for a frame.
    pub(crate) fn receive(&mut self) {
        loop {
            if Frame::decode(&mut self.input, 16384).unwrap().is_some() {
                return;
            }
            let mut room = [0; 65536];
            let count = self.stream.read(&mut room).unwrap();
            self.input.extend_from_slice(&room[..count]);
        }
    }
}
