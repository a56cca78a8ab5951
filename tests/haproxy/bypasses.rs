//! Ways that once let an attack through: each request gets its verdict through HAProxy, and straight over SPOP.

use crate::support::haproxy::{Haproxy, version};
use crate::support::site::shared;
use crate::support::spop::Message;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

/// A target and the verdict on it.
const TARGETS: [(&str, i64); 5] = [
    // libmodsecurity before 3.0.12 hides what stands behind an escaped question mark (CVE-2024-1019).
    ("/x%3F%3Cscript%3Ealert(1)%3C/script%3E", 403),
    ("/x%3f%3Cscript%3Ealert(1)%3C/script%3E?a=b", 403),
    ("/a%3Fb/%3Cscript%3Ealert(1)%3C/script%3E/", 403),
    ("/what%3F/is%3Fthis?really%3F", 0),
    ("/what%253F", 0),
];

#[test]
fn a_target_gets_its_verdict() {
    let site = shared();
    let mut link = site.agent.link();
    let wrong: Vec<_> = TARGETS
        .into_iter()
        .filter_map(|(target, expected)| {
            let through = site.haproxy.curl(target, &[]).verdict.code;
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            let straight = link.ask(&Message::get(path, query)).code();
            let right = through == Some(expected) && straight == Some(expected);
            (!right).then_some((target, expected, through, straight))
        })
        .collect();
    assert!(wrong.is_empty(), "target, expected, through HAProxy, straight: {wrong:#?}");
}

/// A request with a trailer, which is announced or not.
fn with_trailer(announcement: &str) -> String {
    format!(
        "POST /form HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\nConnection: close\r\n{announcement}\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\na=b\r\n0\r\nX-Trailer: <script>alert(1)</script>\r\n\r\n"
    )
}

/// An application that hands over what it got, up to the end of the body, and answers.
fn application() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            thread::spawn(move || serve(stream.unwrap(), &sender));
        }
    });
    (address, received)
}

fn serve(mut stream: TcpStream, sender: &mpsc::Sender<String>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        // HAProxy's health checks connect and say nothing.
        let Ok(1..) = stream.read(&mut buffer).inspect(|&length| {
            request.extend_from_slice(&buffer[..length]);
        }) else {
            return;
        };
        let text = String::from_utf8_lossy(&request);
        if text.contains("\r\n0\r\n") && text.ends_with("\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
            sender.send(text.into_owned()).unwrap();
            return;
        }
    }
}

#[test]
fn no_trailer_reaches_the_application_that_no_agent_was_shown() {
    let (address, received) = application();
    let haproxy = Haproxy::start_with(shared().agent.address(), &[("APP_SERVER", &address)]);
    if version() < (3, 2) {
        // It cannot drop trailers: a request that announces one is refused.
        assert_eq!(haproxy.raw(with_trailer("Trailer: X-Trailer\r\n").as_bytes()).status, 400);
        return;
    }
    for announcement in ["", "Trailer: X-Trailer\r\n"] {
        let answer = haproxy.raw(with_trailer(announcement).as_bytes());
        assert_eq!((answer.status, answer.verdict.code), (200, Some(0)), "{answer:?}");
        let request = received.recv_timeout(crate::support::PATIENCE).unwrap();
        assert!(request.contains("a=b") && !request.contains("<script>"), "{request}");
    }
}
