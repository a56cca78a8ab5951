//! A small HTTP client for the admin address.

use super::PATIENCE;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Asks `127.0.0.1:1` or `unix:/path` for this path. A Host header among `headers` takes the place of the usual one.
pub fn get(address: &str, path: &str, headers: &[&str]) -> Response {
    ask(address, "GET", path, headers)
}

/// The same with another method.
pub fn ask(address: &str, method: &str, path: &str, headers: &[&str]) -> Response {
    let mut lines: Vec<_> = headers.iter().map(|line| (*line).to_owned()).collect();
    if !lines.iter().any(|line| line.starts_with("Host:")) {
        lines.push("Host: localhost".to_owned());
    }
    let request = format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
    parse(&raw(address, request.as_bytes()))
}

/// Sends bytes as they are, and reads until the server closes.
pub fn raw(address: &str, request: &[u8]) -> String {
    let mut answer = Vec::new();
    if let Some(path) = address.strip_prefix("unix:") {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        stream.read_to_end(&mut answer).unwrap();
    } else {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A server that has closed already is no error here: what it said is read.
        drop(stream.write_all(request));
        drop(stream.read_to_end(&mut answer));
    }
    String::from_utf8(answer).unwrap()
}

fn parse(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    Response { status: head[9..12].parse().unwrap(), head: head.to_ascii_lowercase(), body: body.to_owned() }
}
