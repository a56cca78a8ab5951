//! Records what a real HAProxy sends, as seeds for the fuzz targets (tests/fuzz). Not a test: it is run by hand, once for
//! each version of HAProxy, when what HAProxy sends or a target's input has changed:
//!
//! ```text
//! HAPROXY=/usr/sbin/haproxy cargo test --test haproxy record_seeds -- --ignored
//! ```
//!
//! It is a module of tests/haproxy. Many of the seeds are alike: keep those that
//! `TARGET -merge=1 EMPTY tests/fuzz/seeds/TARGET` finds to add something.

use crate::support::agent::Agent;
use crate::support::client;
use crate::support::haproxy::{Haproxy, patient_spoe_file, repository, version};
use crate::support::wire::{ABORT, FIN, Frame, NOTIFY, Reader, UNSET, Value};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A target's own limit for what it tries; longer seeds would be cut.
const LONGEST: usize = 4096;

/// What HAProxy sent, one stream of bytes for each link.
type Tape = Arc<Mutex<Vec<Vec<u8>>>>;

#[test]
#[ignore = "records, does not test"]
fn record() {
    let deployed = std::fs::read_to_string(repository("deploy/spoe-modsecurity.conf")).unwrap();
    let text = deployed.replace("headers=req.hdrs_bin", "headers=req.hdrs");
    let names = ["unique-id=", "method=", "path=", "query=", "version=", "headers=", "body-size=", "body="];
    let mut unnamed = deployed.replace("src-ip=src src-port=src_port dst-ip=dst dst-port=dst_port ", "");
    for name in names {
        let (request, rest) = unnamed.split_once("event on-frontend").unwrap();
        unnamed = format!("{}event on-frontend{rest}", request.replace(&format!(" {name}"), " "));
    }
    let mut seeds = Seeds::default();
    for configuration in [&deployed, &text, &unnamed] {
        seeds.add(&drive(&repository("deploy/haproxy.cfg"), configuration));
    }
    // In fragments, a few of them for each request.
    let idle = "    timeout idle 2m\n";
    let sizes: &[u32] = if version() < (3, 1) { &[256, 300] } else { &[] };
    for size in sizes {
        let small = deployed.replace(idle, &format!("{idle}    max-frame-size {size}\n"));
        assert_ne!(small, deployed);
        seeds.add(&drive(&repository("deploy/haproxy.cfg"), &small));
    }
    for agent in ["c-daemon", "libmodsecurity-fork", "go-agent", "coraza-early", "coraza-spoa"] {
        let sample = repository(&format!("deploy/haproxy/{agent}"));
        let configuration = std::fs::read_to_string(sample.join("spoe.conf")).unwrap();
        seeds.add(&drive(&sample.join("haproxy.cfg"), &configuration));
    }
    seeds.save();
}

/// What is to be saved, each once.
#[derive(Default)]
struct Seeds {
    streams: BTreeSet<Vec<u8>>,
    links: BTreeSet<Vec<u8>>,
    payloads: BTreeSet<Vec<u8>>,
    lists: BTreeSet<Vec<u8>>,
}

impl Seeds {
    fn add(&mut self, tape: &Tape) {
        let tape = tape.lock().unwrap();
        let links: Vec<_> = tape.iter().map(|stream| frames(stream)).collect();
        for (stream, frames) in tape.iter().zip(&links) {
            self.streams.insert([&[100], &stream[..]].concat());
            self.links.insert(steps(&[frames], &[]));
            for (payload, whole) in payloads(frames) {
                if whole {
                    self.lists.extend(header_list(&payload));
                }
                self.payloads.insert(payload);
            }
        }
        let mut fragmented = links.iter().filter(|frames| frames.iter().any(|frame| frame.flags & FIN == 0));
        if let (Some(one), Some(other)) = (fragmented.next(), fragmented.next()) {
            // Two links at a time, and one on which the agent aborts in the middle.
            self.links.insert(steps(&[one, other], &[]));
            self.links.insert(steps(&[one], &[3, 1]));
            // One that HAProxy gives up, and both on the link that takes less.
            let aborted = |frame: &Frame| {
                let ends = frame.kind == UNSET && frame.flags == FIN;
                frame.clone().flags(if ends { FIN | ABORT } else { frame.flags })
            };
            let given_up: Vec<_> = one.iter().map(aborted).collect();
            self.links.insert(steps(&[&given_up], &[]));
            self.links.insert(steps(&[&[], one], &[]));
            self.links.insert(steps(&[&[], &given_up], &[]));
        }
    }

    fn save(&self) {
        save("codec", &self.streams);
        save("session", &self.links);
        save("message", &self.payloads);
        save("headers", &self.lists);
    }
}

/// Sends a few requests of each kind through HAProxy with this configuration and this one for SPOE.
fn drive(configuration: &Path, spoe: &str) -> Tape {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spoe.conf");
    std::fs::write(&path, spoe).unwrap();
    let path = patient_spoe_file(&path, folder.path());
    let agent = Agent::with_rules("SecRuleEngine On\n", &["--responses", "10"]);
    let (address, tape) = recorder(agent.address().to_owned());
    let environment = [("MODSEC_SPOE_CONF", path.to_str().unwrap()), ("MODSEC_RESPONSES", "1")];
    let haproxy = Haproxy::start_from(configuration, &address, &environment);
    let curl = |target: &str, options: &[&str]| {
        drop(client::curl(&["--connect-to", &format!("::{}", haproxy.v4)], target, options));
    };
    curl("/a?q=shoes", &[]);
    curl("/", &["-d", &format!("comment={}", "hello ".repeat(50)), "-H", "Cookie: a=b"]);
    curl("/%00%ff", &["--http2-prior-knowledge", "-X", "OPTIONS"]);
    let bare = ["-0", "-H", "Host:", "-H", "User-Agent:", "-H", "Accept:"];
    curl("/", &bare);
    if configuration.ends_with("deploy/haproxy.cfg") {
        haproxy.curl_unix("/", &bare);
        haproxy.raw(b"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n");
        haproxy.raw(b"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    }
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

/// The frames of links, a frame of each in turn, in the form that the target `session` takes. Each NOTIFY has its answer
/// behind it; `meanwhile` stands behind the first of its fragments.
fn steps(links: &[&[Frame]], meanwhile: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let longest = links.iter().map(|frames| frames.len()).max().unwrap();
    for turn in 0..longest {
        for (frames, link) in links.iter().zip(0..) {
            let Some(frame) = frames.get(turn) else { continue };
            let of_link = |step: u8| step | link << 3;
            out.extend([of_link(0), frame.kind, frame.flags as u8, frame.stream as u8, frame.id as u8]);
            out.extend((frame.payload.len() as u16).to_be_bytes());
            out.extend(&frame.payload);
            match (frame.kind, frame.flags & FIN) {
                (NOTIFY | UNSET, FIN) => out.extend([of_link(4), 0, 10]),
                (NOTIFY, _) => out.extend(meanwhile),
                _ => {}
            }
        }
    }
    out
}

/// What NOTIFYs carry, and what the first fragments of some do, and which is whole.
fn payloads(frames: &[Frame]) -> Vec<(Vec<u8>, bool)> {
    let (mut payloads, mut begun) = (Vec::new(), Vec::new());
    for frame in frames.iter().filter(|frame| matches!(frame.kind, NOTIFY | UNSET)) {
        if frame.kind == NOTIFY {
            begun.clear();
        }
        begun.extend(&frame.payload);
        let whole = frame.flags & FIN != 0;
        if frame.kind == NOTIFY || whole {
            payloads.push((begun.clone(), whole));
        }
    }
    payloads
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

fn save(target: &str, seeds: &BTreeSet<Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    std::fs::create_dir_all(&folder).unwrap();
    let (major, minor) = version();
    for (bytes, number) in seeds.iter().zip(1..) {
        let bytes = &bytes[..bytes.len().min(LONGEST)];
        std::fs::write(folder.join(format!("haproxy-{major}.{minor}-{number:02}")), bytes).unwrap();
    }
}
