//! The 600-byte NOTIFY of a browser's GET, as the benches send it, and other requests of that browser's.

// Each bench compiles this module and uses only the part that it needs.
#![allow(dead_code)]

use actors::spop::value::encode_bytes;
use actors::spop::{FrameId, FrameType, Value, frame};
use bytes::{BufMut, BytesMut};

/// Header names and values of a browser.
pub(crate) const HEADERS: [(&str, &str); 8] = [
    ("host", "www.example.com"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("referer", "https://www.example.com/shop/shoes"),
    ("cookie", "session=6f1c0a5d9b2e47c8; theme=light"),
    ("cache-control", "no-cache"),
];

/// The message's payload.
pub(crate) fn payload() -> BytesMut {
    payload_with_body(b"")
}

/// The payload of the same request with a body.
pub(crate) fn payload_with_body(body: &[u8]) -> BytesMut {
    payload_of("GET", &HEADERS, body)
}

/// Where all of them go.
pub(crate) const PATH: &str = "/shop/shoes/running";
pub(crate) const QUERY: &str = "page=2&sort=price";

/// The payload of a request.
pub(crate) fn payload_of(method: &str, named: &[(&str, &str)], body: &[u8]) -> BytesMut {
    let mut headers = Vec::new();
    for (name, value) in named {
        encode_bytes(name.as_bytes(), &mut headers);
        encode_bytes(value.as_bytes(), &mut headers);
    }
    headers.extend([0, 0]);
    let arguments: [(&str, Value<'_>); 12] = [
        ("unique-id", Value::String(b"9a389e26-000e-4e14-a82f-e7a54ce62766")),
        ("src-ip", Value::Ipv4([192, 0, 2, 1].into())),
        ("src-port", Value::Int64(34302)),
        ("dst-ip", Value::Ipv4([192, 0, 2, 2].into())),
        ("dst-port", Value::Int64(443)),
        ("method", Value::String(method.as_bytes())),
        ("path", Value::String(PATH.as_bytes())),
        ("query", Value::String(QUERY.as_bytes())),
        ("version", Value::String(b"1.1")),
        ("headers", Value::Binary(&headers)),
        ("body-size", Value::Int64(body.len() as i64)),
        ("body", Value::Binary(body)),
    ];
    let mut payload = BytesMut::new();
    encode_bytes(b"check-request", &mut payload);
    payload.put_u8(arguments.len() as u8);
    for (name, value) in arguments {
        encode_bytes(name.as_bytes(), &mut payload);
        value.encode(&mut payload);
    }
    payload
}

/// The whole frame.
pub(crate) fn notify(id: FrameId) -> BytesMut {
    let mut out = BytesMut::new();
    frame::encode(FrameType::Notify, id, &payload(), &mut out);
    out
}
