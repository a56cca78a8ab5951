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

/// Reads one response: to the end of its content, or until the server closes. A server that resets is no error here: what it
/// said is what was read.
fn read(stream: &mut impl Read) -> Vec<u8> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 16384]);
    while !is_whole(&answer) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
        }
    }
    answer
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    length.is_some_and(|length| answer.len() - start >= length)
}

/// Sends bytes as they are, and reads one response.
pub fn raw(address: &str, request: &[u8]) -> String {
    let answer = if let Some(path) = address.strip_prefix("unix:") {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        read(&mut stream)
    } else {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A server that has closed already is no error here: what it said is read.
        drop(stream.write_all(request));
        read(&mut stream)
    };
    String::from_utf8(answer).unwrap()
}

fn parse(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    Response { status: head[9..12].parse().unwrap(), head: head.to_ascii_lowercase(), body: body.to_owned() }
}
