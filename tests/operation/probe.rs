//! Does `probe` tell a healthy agent from everything else, in one line, with the right exit status and in time?

use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::process::run;
use crate::support::wire::{AGENT_DISCONNECT, Frame, Value, pairs, text};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Output;
use std::time::{Duration, Instant};

/// What a probe says that ran out of time. On a busy machine that happens to any.
const TOO_LATE: &str = "no answer within a second";

/// Probes with these words until the probe ends in time.
fn probed(words: &[&str], environment: &[(&str, &str)]) -> Output {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = run(words, environment);
        let is_late = String::from_utf8_lossy(&output.stderr).contains(TOO_LATE);
        if !is_late || Instant::now() > deadline {
            return output;
        }
    }
}

/// Probes with these words; gives what it printed.
#[track_caller]
fn healthy(words: &[&str], environment: &[(&str, &str)]) -> String {
    let output = probed(words, environment);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{words:?} {environment:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().count(), 1, "{printed}");
    printed
}

/// Checks what a probe said of an agent that is not healthy.
#[track_caller]
fn says(output: Output, why: &str) {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!((output.stdout, said.lines().count()), (vec![], 1), "{said}");
    assert!(said.starts_with("modsecurity-spoa: ") && said.contains(why), "{said}");
}

/// Probes with these words an agent that is not healthy.
#[track_caller]
fn unhealthy(words: &[&str], why: &str) {
    says(probed(words, &[]), why);
}

/// The address of a peer that reads each hello and then does this.
fn peer(answer: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for link in listener.incoming() {
            let mut link = link.unwrap();
            let mut length = [0; 4];
            // A probe that ran out of time is gone.
            if link.read_exact(&mut length).is_ok() {
                let mut hello = vec![0; u32::from_be_bytes(length) as usize];
                if link.read_exact(&mut hello).is_ok() {
                    answer(link);
                }
            }
        }
    });
    address
}

#[test]
fn a_healthy_agent_is_found_wherever_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("agent.sock").display());
    let agent = Agent::start_at(&["127.0.0.1:0", "[::1]:0", &unix]);
    for address in &agent.addresses {
        assert!(healthy(&["probe", address], &[]).starts_with(&format!("{address}: healthy")), "{address}");
    }
    let all = agent.addresses.join(", ");
    assert!(
        healthy(&["probe"], &[("MODSECURITY_SPOA_LISTEN", &all)]).starts_with(&format!("{all}: healthy"))
    );
    let port = agent.address().strip_prefix("127.0.0.1:").unwrap();
    healthy(&["-p", port, "probe"], &[]);
    healthy(&["probe"], &[("MODSECURITY_SPOA_PORT", port)]);
    // The address that is given wins.
    healthy(&["probe", agent.address()], &[("MODSECURITY_SPOA_PORT", "1")]);
}

#[test]
fn an_agent_that_listens_everywhere_is_asked_on_the_loopback_address() {
    let agent = Agent::start_at(&["127.0.0.1:0", "[::1]:0"]);
    for (everywhere, address) in [("0.0.0.0", &agent.addresses[0]), ("[::]", &agent.addresses[1])] {
        let (_, port) = address.rsplit_once(':').unwrap();
        let printed = healthy(&["--listen", &format!("{everywhere}:{port}"), "probe"], &[]);
        assert!(printed.starts_with(&format!("{address}: healthy")), "{printed}");
    }
}

#[test]
fn an_agent_counts_its_probe_as_a_health_check() {
    let agent = Agent::start(&["-d"]);
    healthy(&["probe", agent.address()], &[]);
    agent.log.wait_for_text("health check");
}

#[test]
fn nobody_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens on the first port: it is not one that the kernel chooses for another test.
    unhealthy(&["probe", "127.0.0.1:1"], "127.0.0.1:1: Connection refused");
    let path = folder.path().join("agent.sock");
    unhealthy(&["probe", &format!("unix:{}", path.display())], "agent.sock: No such file");
    // All of several addresses must answer.
    let agent = Agent::start(&[]);
    let words = ["--listen", agent.address(), "--listen", "127.0.0.1:1", "probe"];
    unhealthy(&words, "127.0.0.1:1: Connection refused");
}

#[test]
fn a_peer_that_is_no_healthy_agent_is_told() {
    let http = peer(|mut link| drop(link.write_all(b"HTTP/1.1 400 Bad request\r\n\r\n")));
    unhealthy(&["probe", &http], "does not speak SPOP");
    let closing = peer(drop);
    unhealthy(&["probe", &closing], "closed instead of an answer");
    let half = peer(|mut link| drop(link.write_all(b"\0\0\0\x40\x65")));
    unhealthy(&["probe", &half], "closed instead of an answer");
    let leaving = peer(|mut link| {
        let mut payload = Vec::new();
        pairs(&mut payload, [("status-code", Value::Uint32(13)), ("message", text("leaving"))]);
        drop(link.write_all(&Frame::new(AGENT_DISCONNECT, 0, 0, payload).encode()));
    });
    unhealthy(&["probe", &leaving], "refuses the link: leaving (13)");
}

#[test]
fn a_peer_that_does_not_answer_is_not_waited_for() {
    // The kernel takes the connection, and nobody accepts it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    says(run(&["probe", &address], &[]), TOO_LATE);
    // One byte at a time of a long frame is no answer either.
    let slow = peer(|mut link| {
        drop(link.write_all(b"\0\0\x3f\x00\x65"));
        while link.write_all(b"\0").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    says(run(&["probe", &slow], &[]), TOO_LATE);
}

#[test]
fn a_unix_socket_with_a_full_queue_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let _silent = UnixListener::bind(&path).unwrap();
    // Connect until nothing is accepted any more: the next one waits without end.
    let (connected, connections) = std::sync::mpsc::channel();
    let waiting = path.clone();
    std::thread::spawn(move || {
        while let Ok(link) = UnixStream::connect(&waiting) {
            if connected.send(link).is_err() {
                break;
            }
        }
    });
    let mut held = Vec::new();
    while let Ok(link) = connections.recv_timeout(Duration::from_secs(2)) {
        held.push(link);
    }
    assert!(!held.is_empty());
    says(run(&["probe", &format!("unix:{}", path.display())], &[]), TOO_LATE);
}

#[test]
fn an_address_that_is_none_is_a_wrong_option() {
    for words in [&["probe", "nonsense"][..], &["probe", "127.0.0.1"], &["probe", "127.0.0.1:1", "more"]] {
        let output = run(words, &[]);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1, "{words:?}");
    }
}
