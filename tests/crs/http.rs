//! From bytes on the wire to what a server takes them for, as leniently as it can be done: many tests are no legal
//! HTTP, and their rules are meant for servers that accept it all the same.

use crate::support::spop::Message;
use crate::support::wire::{Value, sized, text};

/// A request in the parts that an engine is given.
pub struct Parts {
    pub method: String,
    pub uri: String,
    /// Without `HTTP/`.
    pub version: String,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    /// How long the body was said to be.
    pub size: usize,
}

impl Parts {
    /// Reads one request.
    pub fn of(request: &[u8]) -> Self {
        let mut rest = request;
        let line = String::from_utf8(next_line(&mut rest).to_vec()).unwrap();
        let (method, target) = line.trim_start().split_once(' ').unwrap();
        let (uri, version) = target.rsplit_once(' ').unwrap();
        let mut headers = Vec::new();
        loop {
            let line = next_line(&mut rest);
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                assert!(line.is_empty(), "a header without a colon: {:?}", String::from_utf8_lossy(line));
                break;
            };
            headers.push((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()));
        }
        let mut parts = Self {
            method: method.to_owned(),
            uri: uri.to_owned(),
            version: version.strip_prefix("HTTP/").unwrap_or(version).to_owned(),
            headers,
            body: Vec::new(),
            size: 0,
        };
        parts.take_body(rest);
        parts
    }

    fn take_body(&mut self, rest: &[u8]) {
        if self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            self.body = chunks(rest);
            self.size = self.body.len();
            // RFC 9112, 6.3: it overrides the length, which goes. HAProxy and Apache do that.
            self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
        } else {
            // What follows the announced length is another request. Without a length there is no body.
            let length = self.header("content-length").unwrap_or_default();
            let digits: String = length.chars().take_while(char::is_ascii_digit).collect();
            self.size = digits.parse().unwrap_or(0);
            self.body = rest[..self.size.min(rest.len())].to_vec();
        }
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The message that HAProxy would send, under this name of the request.
    pub fn message(&self, name: &str) -> Message {
        let (path, query) = match self.uri.split_once('?') {
            Some((path, query)) => (path, text(query)),
            None => (&*self.uri, Value::Null),
        };
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            sized(&mut headers, name);
            sized(&mut headers, value);
        }
        headers.extend_from_slice(&[0, 0]);
        Message::new(vec![
            ("unique-id", text(name)),
            ("src-ip", Value::Ipv4(CLIENT)),
            ("src-port", Value::Int64(CLIENT_PORT.into())),
            ("dst-ip", Value::Ipv4(SERVER)),
            ("dst-port", Value::Int64(SERVER_PORT.into())),
            ("method", text(&self.method)),
            ("path", text(path)),
            ("query", query),
            ("version", text(&self.version)),
            ("headers", Value::Binary(headers)),
            ("body-size", Value::Int64(self.size.try_into().unwrap())),
            ("body", Value::Binary(self.body.clone())),
        ])
    }
}

/// Where requests come from and go to.
const CLIENT: [u8; 4] = [127, 0, 0, 1];
const CLIENT_PORT: u16 = 4711;
const SERVER: [u8; 4] = [127, 0, 0, 1];
const SERVER_PORT: u16 = 80;

/// The line up to the next line feed, without its end. There is a test with nothing but line feeds.
fn next_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == b'\n').expect("a line without an end");
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let size = std::str::from_utf8(next_line(&mut rest)).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        next_line(&mut rest);
        if size == 0 {
            return body;
        }
    }
}
