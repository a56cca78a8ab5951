//! All requests sent to HAProxy, in the deployed configuration, as the bytes that they are.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::cases::Case;
use crate::straight::{FRAME, Rules, changes, in_parallel, parse};
use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::haproxy::Haproxy;
use crate::support::waiting::uninterrupted;

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What the client got.
    pub status: i64,
    /// The rules that matched; none when HAProxy refused the request itself.
    pub rules: Option<Rules>,
}

/// The Core Rule Set's decision to deny, which detection only leaves at that.
const WOULD_DENY: u64 = 949_110;

/// The Core Rule Set's summary of a request, for the log.
const SUMMARY: u64 = 980_130;

impl Outcome {
    /// What is different from the first run, or not as the test says, in a word; none when nothing is: `NAME=STATUS`
    /// where HAProxy has refused the request, or has not, against the test's word; `NAME=-RULE,+RULE` where the rules
    /// are others.
    pub fn remark(&self, case: &Case, straight: &Rules) -> Option<String> {
        let difference = match &self.rules {
            None => self.status.to_string(),
            Some(rules) => {
                let (straight, rules) = (without_summary(straight), without_summary(rules));
                changes(&straight, &rules)
            }
        };
        if !difference.is_empty() {
            return Some(format!("{}={difference}", case.name));
        }
        if self.is_what_the_web_server_should_say(case) {
            return None;
        }
        let rules = self.rules.as_ref().unwrap();
        assert!(rules.contains(&WOULD_DENY), "{}: neither HAProxy nor a rule refuses it", case.name);
        Some(format!("{}={}", case.name, self.status))
    }

    /// Whether the client got the status that the test expects, if it expects one.
    pub fn is_what_the_web_server_should_say(&self, case: &Case) -> bool {
        let expected = &case.expected;
        let status = expected.statuses.is_empty() || expected.statuses.contains(&self.status);
        // No response that the framework can read; HAProxy always says something.
        status && (!expected.error || self.status >= 400)
    }
}

/// Without what only says once more, in the logging phase, that 949110 matched: version 2 tells that too.
fn without_summary(rules: &Rules) -> Rules {
    rules.iter().copied().filter(|rule| *rule != SUMMARY).collect()
}

/// Sends every test's request over a connection of its own, and reads in HAProxy's log what became of it.
pub fn run(cases: &[Case], agent: &Agent) -> Vec<Outcome> {
    let haproxy = Haproxy::start_with(agent.address(), &[("HAPROXY_BUFSIZE", &FRAME.to_string())]);
    in_parallel(
        cases,
        || (),
        |(), case| {
            let mark = haproxy.log.count();
            let mine = format!(": {} [", send(haproxy.v4, &case.request));
            outcome(&haproxy.log.wait_for_after(mark, &case.name, |line| line.contains(&mine)))
        },
    )
}

/// Sends the request and waits for the end of the response, if there is one. Gives the client's address.
fn send(server: SocketAddr, request: &[u8]) -> SocketAddr {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = stream.local_addr().unwrap();
    // HAProxy may have closed before it has read everything.
    drop(stream.write_all(request));
    let mut response = Vec::new();
    let mut buffer = [0; 4096];
    while !response.ends_with(b"the application") {
        match uninterrupted(|| stream.read(&mut buffer)) {
            Ok(0) | Err(_) => break,
            Ok(count) => response.extend_from_slice(&buffer[..count]),
        }
    }
    drop(stream.shutdown(Shutdown::Both));
    client
}

fn outcome(line: &str) -> Outcome {
    let value = |name: &str| {
        let found = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {line}"))
    };
    // The fifth word behind the frontend's name: backend/server, times, status.
    let status = line.split(" web ").nth(1).unwrap().split(' ').nth(2).unwrap().parse().unwrap();
    let rules = match (value("modsec_code"), value("modsec_error"), value("modsec_rules")) {
        ("0", "-", "-") => Some(Rules::new()),
        ("0", "-", ids) => Some(parse(ids)),
        ("-", "-", _) => None,
        _ => panic!("not inspected: {line}"),
    };
    Outcome { status, rules }
}
