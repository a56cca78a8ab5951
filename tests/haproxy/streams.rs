//! Do streams live while responses are inspected? The application goes on only when the client has what it sent before, so a
//! HAProxy that waits for more of the body would wait for ever.

use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::haproxy::Haproxy;
use crate::support::waiting::uninterrupted;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// An application with this head, which then sends back each line that it gets.
fn echo_after(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    // HAProxy's health checks connect and say nothing.
                    let Ok(1) = stream.read(&mut byte) else { return };
                    request.push(byte[0]);
                }
                stream.write_all(head.as_bytes()).unwrap();
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reads until the response has this in it.
fn read_until(stream: &mut TcpStream, response: &mut Vec<u8>, wanted: &str) {
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(response).contains(wanted) {
        let count = uninterrupted(|| stream.read(&mut buffer)).unwrap();
        assert!(count > 0, "no {wanted:?} in {:?}", String::from_utf8_lossy(response));
        response.extend_from_slice(&buffer[..count]);
    }
}

fn connect(haproxy: &Haproxy, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(haproxy.v4).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/plain text/html\n\
                     SecRule ARGS \"@streq bad\" \"id:1,phase:1,deny,status:403\"\n\
                     SecRule RESPONSE_BODY \"@contains secret\" \"id:2,phase:4,deny,status:403\"\n";

#[test]
fn events_come_one_by_one() {
    // Chunks: the first event, and after that nothing until the client has it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (has_it, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut told = Some(told);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let Ok(1..) = stream.read(&mut buffer) else { continue };
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(format!("{head}d\r\ndata: first\n\n\r\n").as_bytes()).unwrap();
            let Some(told) = told.take() else { continue };
            if told.recv().is_ok() {
                stream.write_all(b"e\r\ndata: second\n\n\r\n0\r\n\r\n").unwrap();
            }
        }
    });
    let agent = Agent::with_rules(RULES, &["--responses", "10"]);
    let haproxy =
        Haproxy::start_with(agent.address(), &[("MODSEC_RESPONSES", "1"), ("APP_SERVER", &address)]);
    let mut stream = connect(&haproxy, "GET /events HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let mut response = Vec::new();
    read_until(&mut stream, &mut response, "data: first");
    has_it.send(()).unwrap();
    read_until(&mut stream, &mut response, "data: second");
    assert!(response.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_websocket_passes_both_ways() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let address = echo_after(head);
    let agent = Agent::with_rules(RULES, &["--responses", "10"]);
    let haproxy =
        Haproxy::start_with(agent.address(), &[("MODSEC_RESPONSES", "1"), ("APP_SERVER", &address)]);
    let request = |query: &str| {
        format!(
            "GET /socket?q={query} HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    let mut stream = connect(&haproxy, &request("good"));
    let mut response = Vec::new();
    read_until(&mut stream, &mut response, "\r\n\r\n");
    assert!(response.starts_with(b"HTTP/1.1 101"), "{:?}", String::from_utf8_lossy(&response));
    for word in ["one", "two", "three"] {
        stream.write_all(word.as_bytes()).unwrap();
        read_until(&mut stream, &mut response, word);
    }
    // The request for it is inspected like any other.
    let mut stream = connect(&haproxy, &request("bad"));
    let mut response = Vec::new();
    read_until(&mut stream, &mut response, "\r\n\r\n");
    assert!(response.starts_with(b"HTTP/1.1 403"), "{:?}", String::from_utf8_lossy(&response));
}
