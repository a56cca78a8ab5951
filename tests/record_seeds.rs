//! Records what a real HAProxy sends, as seeds for the fuzz targets (tests/fuzz). Not a test: it is run by hand, once for
//! each version of HAProxy, when what HAProxy sends or a target's input has changed:
//!
//! ```text
//! HAPROXY=/usr/sbin/haproxy cargo test --test record_seeds -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use support::agent::Agent;
use support::haproxy::{Haproxy, program, repository};
use support::wire::{Frame, NOTIFY, Reader, Value};

/// A target's own limit for what it tries; longer seeds would be cut.
const LONGEST: usize = 4096;

/// What HAProxy sent, one stream of bytes for each link.
type Tape = Arc<Mutex<Vec<Vec<u8>>>>;

#[test]
#[ignore = "records, does not test"]
fn record() {
    let version = version();
    let deployed = std::fs::read_to_string(repository("deploy/spoe-modsecurity.conf")).unwrap();
    let text = deployed.replace("headers=req.hdrs_bin", "headers=req.hdrs");
    let names = ["unique-id=", "method=", "path=", "query=", "version=", "headers=", "body-size=", "body="];
    let mut unnamed = deployed.replace("src-ip=src src-port=src_port dst-ip=dst dst-port=dst_port ", "");
    for name in names {
        let (request, rest) = unnamed.split_once("event on-frontend").unwrap();
        unnamed = format!("{}event on-frontend{rest}", request.replace(&format!(" {name}"), " "));
    }
    let (mut links, mut payloads, mut lists) = (0, BTreeSet::new(), BTreeSet::new());
    for configuration in [deployed, text, unnamed] {
        let tape = drive(&configuration);
        for stream in tape.lock().unwrap().iter() {
            let frames = frames(stream);
            links += 1;
            save("codec", &version, links, &[&[100], &stream[..]].concat());
            save("session", &version, links, &steps(&frames));
            for frame in frames.iter().filter(|frame| frame.kind == NOTIFY) {
                payloads.insert(frame.payload.clone());
                lists.extend(header_list(&frame.payload));
            }
        }
    }
    payloads.iter().zip(1..).for_each(|(payload, number)| save("message", &version, number, payload));
    lists.iter().zip(1..).for_each(|(list, number)| save("headers", &version, number, list));
}

fn version() -> String {
    let output = Command::new(program()).arg("-v").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(2).unwrap().split('-').next().unwrap().to_owned()
}

/// Sends a few requests of each kind through HAProxy with this SPOE configuration.
fn drive(spoe: &str) -> Tape {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spoe.conf");
    std::fs::write(&path, spoe.replace("timeout processing 600ms", "timeout processing 20s")).unwrap();
    let agent = Agent::with_rules("SecRuleEngine On\n", &["--responses", "10"]);
    let (address, tape) = recorder(agent.address().to_owned());
    let environment = [("MODSEC_SPOE_CONF", path.to_str().unwrap()), ("MODSEC_RESPONSES", "1")];
    let haproxy = Haproxy::start_with(&address, &environment);
    haproxy.curl("/a?q=shoes", &[]);
    haproxy.curl("/", &["-d", "comment=hello", "-H", "Cookie: a=b"]);
    haproxy.curl("/%00%ff", &["--http2-prior-knowledge", "-X", "OPTIONS"]);
    haproxy.curl_unix("/", &["-0", "-H", "Host:", "-H", "User-Agent:", "-H", "Accept:"]);
    drop(haproxy);
    tape
}

/// Passes on to the agent what comes, and keeps it.
fn recorder(agent: String) -> (String, Tape) {
    let (listener, tape) = (TcpListener::bind("127.0.0.1:0").unwrap(), Tape::default());
    let (address, kept) = (listener.local_addr().unwrap().to_string(), Arc::clone(&tape));
    std::thread::spawn(move || {
        for link in listener.incoming() {
            let (link, agent) = (link.unwrap(), TcpStream::connect(&agent).unwrap());
            let number = {
                let mut tape = kept.lock().unwrap();
                tape.push(Vec::new());
                tape.len() - 1
            };
            let (back, kept) = ((agent.try_clone().unwrap(), link.try_clone().unwrap()), Arc::clone(&kept));
            std::thread::spawn(move || pump(link, agent, |bytes| kept.lock().unwrap()[number].extend(bytes)));
            std::thread::spawn(move || pump(back.0, back.1, |_| {}));
        }
    });
    (address, tape)
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        seen(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

fn frames(mut stream: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        frames.push(Frame::decode(frame));
        stream = rest;
    }
    frames
}

/// The frames in the form that the target `session` takes, each NOTIFY with its answer behind it.
fn steps(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        out.extend([0, frame.kind, frame.flags as u8, frame.stream as u8, frame.id as u8]);
        out.extend((frame.payload.len() as u16).to_be_bytes());
        out.extend(&frame.payload);
        if frame.kind == NOTIFY {
            out.extend([4, 0, 10]);
        }
    }
    out
}

/// The argument of a message that is a list of headers.
fn header_list(payload: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(payload);
    reader.name();
    for _ in 0..reader.byte() {
        reader.name();
        match reader.value() {
            Value::Binary(list) | Value::Text(list)
                if list.ends_with(b"\r\n\r\n") || list.ends_with(b"\0\0") =>
            {
                return Some(list);
            }
            _ => {}
        }
    }
    None
}

fn save(target: &str, version: &str, number: usize, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    std::fs::create_dir_all(&folder).unwrap();
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    std::fs::write(folder.join(format!("haproxy-{version}-{number:02}")), bytes).unwrap();
}
