//! Are links inside TLS served as others are, and who has no business there refused, at no cost to others?

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::support::PATIENCE;
use crate::support::agent::{Agent, rule_file};
use crate::support::process::run;
use crate::support::spop::{Link, Message, hello, hello_frame};
use crate::support::tls::Certificates;
use crate::support::wire::{Frame, NOTIFY};

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny\"\n";

fn start(certificates: &Certificates, asks_clients: bool, more: &[&str]) -> Agent {
    let option = certificates.option(asks_clients);
    Agent::with_rules(RULES, &[&["--tls", &option, "-n", "1"][..], more].concat())
}

#[track_caller]
fn assert_serves(link: &mut Link) {
    assert_eq!(link.ask(&Message::get("/", Some("q=good"))).code(), Some(0));
    assert_eq!(link.ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
}

/// Sends a HELLO in the clear and what it is: whether there is no link.
fn is_refused(certificates: &Certificates, agent: &Agent, own: Option<&Certificates>) -> bool {
    let mut stream = certificates.connect(agent.address(), own);
    // In TLS 1.3 a client learns only after its own part whether it was taken.
    stream.write_all(&[0; 4]).and_then(|()| stream.read(&mut [0; 1])).is_err()
}

#[test]
fn links_inside_tls_are_served() {
    let certificates = Certificates::default();
    let agent = start(&certificates, false, &["--debug"]);
    for _ in 0..3 {
        assert_serves(&mut certificates.link(agent.address(), None));
    }
    let (status, log) = agent.stop();
    assert_eq!(status.code(), Some(0));
    assert!(!log.iter().any(|line| line.contains("TLS: ")), "{log:#?}");
}

#[test]
fn what_does_not_fit_in_the_sockets_buffer_is_not_lost() {
    let certificates = Certificates::default();
    let agent = start(&certificates, false, &["--queue", "20000"]);
    let mut link = certificates.link(agent.address(), None);
    let (messages, rounds) = (100, 60);
    let path = format!("/{}", "a".repeat(2000));
    for round in 0..rounds {
        let frames = (0..messages).map(|n| Message::get(&path, Some("q=bad")).notify(round, n).encode());
        link.send_bytes(&frames.flatten().collect::<Vec<u8>>());
    }
    for _ in 0..rounds * messages {
        assert_eq!(link.expect_ack().code(), Some(403));
    }
    assert_serves(&mut link);
}

#[test]
fn a_client_shows_its_certificate_where_one_is_asked_for() {
    let (certificates, others) = (Certificates::default(), Certificates::default());
    let agent = start(&certificates, true, &[]);
    assert_serves(&mut certificates.link(agent.address(), Some(&certificates)));
    for own in [None, Some(&others)] {
        let mark = agent.log.lines().len();
        assert!(is_refused(&certificates, &agent, own));
        let said =
            |line: &str| line.contains("link closed, the peer broke the protocol") && line.contains("TLS: ");
        // One line a second: the next one may only be counted.
        agent.log.wait_for_after(mark, "the refusal", |line| {
            said(line) || line.contains("more links closed, their peers broke the protocol")
        });
    }
    assert_serves(&mut certificates.link(agent.address(), Some(&certificates)));
}

#[test]
fn a_peer_without_tls_is_refused_and_harms_nobody() {
    let certificates = Certificates::default();
    let agent = start(&certificates, false, &[]);
    let mut good = certificates.link(agent.address(), None);
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 4000],
        &[0xff; 4000],
        b"\x16\x03\x01\x40\x01",
        b"\0\0\0\x50\x01",
    ] {
        let mut stream = TcpStream::connect(agent.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(bytes);
        let mut said = Vec::new();
        // An alert perhaps, and then the end: whether by a reset depends on what was not read.
        let _ = stream.read_to_end(&mut said);
        assert!(said.len() < 20, "{said:?}");
    }
    agent.log.wait_for_text("cause: TLS: ");
    assert_serves(&mut good);
}

#[test]
fn a_handshake_that_does_not_go_on_is_ended_in_time() {
    let certificates = Certificates::default();
    let agent = start(&certificates, false, &[]);
    thread::scope(|scope| {
        // Nothing, and the beginning of a ClientHello that drips in.
        for drips in [false, true] {
            let agent = &agent;
            scope.spawn(move || {
                let mut stream = TcpStream::connect(agent.address()).unwrap();
                let start = Instant::now();
                stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                let _ = stream.write_all(if drips {
                    &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..]
                } else {
                    b""
                });
                // Until it is over, whether in order or by a reset.
                while stream
                    .read(&mut [0; 64])
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
                {
                    assert!(start.elapsed() < PATIENCE, "it is never ended");
                    let _ = if drips { stream.write(&[1]) } else { Ok(0) };
                }
                assert!(start.elapsed() > Duration::from_secs(9), "after {:?}", start.elapsed());
            });
        }
        assert_serves(&mut certificates.link(agent.address(), None));
    });
}

#[test]
fn handshakes_that_do_not_go_on_take_little_memory() {
    let certificates = Certificates::default();
    let agent = start(&certificates, false, &[]);
    assert_serves(&mut certificates.link(agent.address(), None));
    let (links, before) = (200, agent.front_resident_kib());
    // A ClientHello of 64 KB that lacks its last byte, in records of 16 KB.
    let mut hello = vec![1, 0, 0xff, 0xff];
    hello.resize(0xffff + 3, 0);
    let mut bytes = Vec::new();
    for part in hello.chunks(1 << 14) {
        bytes.extend([0x16, 3, 1]);
        bytes.extend((part.len() as u16).to_be_bytes());
        bytes.extend(part);
    }
    let mut held = Vec::new();
    for _ in 0..links {
        let mut stream = TcpStream::connect(agent.address()).unwrap();
        stream.write_all(&bytes).unwrap();
        held.push(stream);
    }
    // It is served after them.
    assert_serves(&mut certificates.link(agent.address(), None));
    let each = agent.front_resident_kib().saturating_sub(before) / links;
    println!("{each} KiB for each of {links} handshakes");
    assert!(each < 256, "{each} KiB for each handshake");
}

#[test]
fn a_peer_that_does_not_read_is_closed() {
    let certificates = Certificates::default();
    let agent = start(&certificates, false, &[]);
    let mut stream = certificates.connect(agent.address(), None);
    stream.write_all(&hello_frame(hello()).encode()).unwrap();
    stream.sock.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // So that it is full soon.
    setsockopt(&stream.sock, sockopt::RcvBuf, &4096).unwrap();
    // Answered at once.
    let frame = Frame::new(NOTIFY, 1, 1, vec![0xFF]).encode().repeat(1000);
    let start = Instant::now();
    while agent.log.lines_with("it does not read").is_empty() {
        // The agent stops reading at some time, and then there is nothing to do here.
        let _ = stream.write_all(&frame);
        assert!(start.elapsed() < 4 * PATIENCE, "{:?}", agent.log.lines());
    }
    assert_serves(&mut certificates.link(agent.address(), None));
}

/// Certificates that are another authority's from now on.
fn renew(isolation: &str, said: &str) {
    let (certificates, others) = (Certificates::default(), Certificates::default());
    let agent = start(&certificates, false, &["--isolation", isolation]);
    let address = agent.address().to_owned();
    let mut old = certificates.link(&address, None);
    fs::write(certificates.file("server.key"), "nothing").unwrap();
    agent.signal("HUP");
    let line = agent.log.wait_for_text("cannot reload, the old rules stay");
    assert!(line.contains("server.key"), "{line}");
    assert_serves(&mut certificates.link(&address, None));
    assert_serves(&mut old);
    certificates.replace_server(&others);
    agent.signal("HUP");
    agent.log.wait_for_text(said);
    assert_serves(&mut others.link(&address, None));
    if isolation == "process" {
        assert_serves(&mut old);
    }
    assert!(is_refused(&certificates, &agent, None), "the old certificate is still shown");
}

#[test]
fn certificates_are_read_anew_by_a_reload() {
    renew("process", " rules reloaded, ");
}

#[test]
fn certificates_are_read_anew_by_a_new_process_with_threads() {
    renew("thread", " replacing the process");
}

#[test]
fn files_that_do_not_go_together_are_refused() {
    let (certificates, others) = (Certificates::default(), Certificates::default());
    let (_folder, rules) = rule_file(RULES);
    let [pem, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| certificates.file(name));
    for (value, cause) in [
        (format!("{pem},{}", others.file("server.key")), "server.pem"),
        (format!("{pem},{pem}"), "private key"),
        (format!("{key},{key}"), "no certificate"),
        (format!("{pem},{key},client-ca={key}"), "no certificate"),
        (format!("/nowhere/server.pem,{key}"), "/nowhere/server.pem"),
        (format!("{pem},{key},client-ca=/nowhere/ca.pem"), "/nowhere/ca.pem"),
    ] {
        for more in [&["--check"][..], &["--listen", "127.0.0.1:0"]] {
            let options = [&["-f", rules.to_str().unwrap(), "--tls", &value][..], more].concat();
            let output = run(&options, &[]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{value}: {said}");
            assert!(said.contains("--tls: ") && said.contains(cause), "{value}: {said}");
        }
    }
    let output = run(
        &["--check", "-f", rules.to_str().unwrap(), "--tls", &format!("{pem},{key},client-ca={ca}")],
        &[],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn without_tls_the_log_warns_of_an_address_that_others_reach() {
    let certificates = Certificates::default();
    let (_folder, rules) = rule_file(RULES);
    let option = certificates.option(false);
    let start = |listen: &str, more: &[&str]| {
        let options = [&["-n", "1", "-f", rules.to_str().unwrap(), "--listen", listen][..], more].concat();
        let agent = Agent::start_exactly(&options, &[]);
        agent.log.lines_with("WARN listening beyond this machine without TLS").len()
    };
    assert_eq!(start("0.0.0.0:0", &[]), 1);
    assert_eq!(start("[::]:0", &[]), 1);
    assert_eq!(start("0.0.0.0:0", &["--tls", &option]), 0);
    assert_eq!(start("127.0.0.1:0", &[]), 0);
    assert_eq!(start("[::1]:0", &[]), 0);
}
