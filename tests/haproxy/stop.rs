//! Does an agent stop without a loss that HAProxy, or its clients, would notice, and does HAProxy know in time?

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;

use crate::support::agent::{Agent, rule_file};
use crate::support::haproxy::{Haproxy, program};
use crate::support::process::{end, guarded, signal, spawn};
use crate::support::spop::Message;
use crate::support::tap::{Seen, Tap};
use crate::support::waiting::wait_until;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\n";

fn to_engines(agent: &Agent, name: &str) {
    for engine in agent.engines() {
        signal(engine, name);
    }
}

/// With engines that are held up until all 200 are with the agent, and the signal has come.
#[test]
fn of_200_requests_in_flight_none_is_lost() {
    let options = ["-n", "2", "--stall-limit", "600s", "--grace", "60s", "--deadline", "30s"];
    let agent = Agent::with_rules(RULES, &options);
    let tap = Tap::start(agent.address());
    let haproxy = Haproxy::start(&tap.address());
    haproxy.curl("/", &[]).assert_clean();
    to_engines(&agent, "STOP");
    let requests = |seen: &[Seen]| seen.iter().filter(|seen| matches!(seen, Seen::Request { .. })).count();
    let before = requests(&tap.wait_for("the first request", |seen| requests(seen) > 0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..200)
            .map(|_| {
                scope.spawn(|| haproxy.raw(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"))
            })
            .collect();
        tap.wait_for("200 requests in flight", |seen| requests(seen) == before + 200);
        agent.signal("TERM");
        agent.log.wait_for_text(" stopping, ");
        to_engines(&agent, "CONT");
        for client in clients {
            client.join().unwrap().assert_clean();
        }
    });
    assert_eq!(agent.stop_status(), Some(0));
}

/// A HAProxy with one server, whose agent it asks how it is.
struct Asking {
    child: Child,
    folder: tempfile::TempDir,
}

impl Asking {
    /// With an agent that serves and is asked at these ports of an address.
    fn start(address: IpAddr, port: u16, check: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let config: PathBuf = folder.path().join("haproxy.cfg");
        let text = format!(
            "global\n stats socket {path}/admin.sock mode 600 level admin\n\
             defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             backend agents\n server agent1 {address}:{port} weight 100 agent-check agent-addr {address} \
             agent-port {check} agent-inter 100ms\n\
             listen any\n bind unix@{path}/any.sock\n default_backend agents\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = guarded(&program());
        command.args(["-db", "-f"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        Self { child: spawn(command), folder }
    }

    /// Sends a command to its admin socket; none when it does not answer yet.
    fn admin(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).ok()?;
        writeln!(stream, "{command}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// A column of its statistics of the server.
    fn statistic(&self, column: &str) -> Option<String> {
        let statistics = self.admin("show stat")?;
        let mut lines = statistics.lines();
        let column = lines.next()?.split(',').position(|name| name.trim_start_matches("# ") == column)?;
        let server = lines.find(|line| line.starts_with("agents,agent1,"))?;
        server.split(',').nth(column).map(str::to_owned)
    }

    /// Waits until a column holds a value that is right.
    fn wait_for(&self, column: &str, is_right: impl Fn(&str) -> bool) {
        wait_until(&format!("{column}: {:?}", self.statistic(column)), || {
            self.statistic(column).is_some_and(|value| is_right(&value))
        });
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// An address of this machine that no other program of it uses: it is made of the number of this process. An agent that is
/// started anew finds its ports free there.
fn own_address() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high, middle, low).into()
}

#[test]
fn haproxy_is_told_to_drain_before_the_agent_stops_and_comes_back_with_the_next() {
    let address = own_address();
    let (listen, check) = (format!("{address}:12345"), format!("{address}:12346"));
    let options = [
        &["--listen", &listen, "--agent-check", &check, "--grace", "600s"][..],
        &["-n", "1", "--queue", "64", "--stall-limit", "600s", "--deadline", "600s"],
    ]
    .concat();
    let (_rules, rules) = rule_file(RULES);
    let start = || Agent::start_exactly(&[&options[..], &["-f", rules.to_str().unwrap()]].concat(), &[]);
    let agent = start();
    let haproxy = Asking::start(address, 12345, 12346);
    haproxy.wait_for("last_agt", |said| said.contains("up"));
    haproxy.wait_for("weight", |weight| weight == "100");

    // With the engine held up, those that it has not taken wait in the queue.
    let mut link = agent.link();
    assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0));
    to_engines(&agent, "STOP");
    let mut sent = 0;
    wait_until("a smaller weight", || {
        if agent_says(address) == "ready up 100%\n" {
            sent += 1;
            link.send(&Message::get("/", None).notify(sent, 1));
        }
        let weight = haproxy.statistic("weight").and_then(|weight| weight.parse().ok());
        weight.is_some_and(|weight: u32| (1..100).contains(&weight))
    });
    to_engines(&agent, "CONT");
    for _ in 0..sent {
        assert_eq!(link.expect_ack().code(), Some(0));
    }
    haproxy.wait_for("weight", |weight| weight == "100");

    // The agent waits until HAProxy knows: half of the grace is five minutes.
    agent.signal("TERM");
    haproxy.wait_for("status", |status| status.starts_with("DRAIN"));
    assert_eq!(agent.stop_status(), Some(0));

    let _agent = start();
    haproxy.wait_for("status", |status| !status.starts_with("DRAIN"));
    haproxy.wait_for("last_agt", |said| said.contains("up"));
}

/// What the agent answers whoever asks, besides HAProxy.
fn agent_says(address: IpAddr) -> String {
    let mut answer = String::new();
    let mut link = std::net::TcpStream::connect((address, 12346)).unwrap();
    link.read_to_string(&mut answer).unwrap();
    answer
}
