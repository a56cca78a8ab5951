//! Does the agent go along with what HAProxy does with its links: reuse them, give up on a request without a word, reload?
//!
//! `HAPROXY` selects the version. What only one generation does is tested with that alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::agent::Agent;
use crate::support::client::{self, Answer};
use crate::support::haproxy::{Haproxy, program, repository};
use crate::support::process::{signal, wait};
use crate::support::waiting::{SetAtEnd, wait_until};

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny,status:403\"\n";

fn curl(haproxy: &Haproxy, target: &str) -> Answer {
    client::curl(&["--connect-to", &format!("::{}", haproxy.v4)], target, &[]).0
}

/// HAProxy 3.1 and later have a multiplexer for SPOP.
fn has_multiplexer() -> bool {
    let output = std::process::Command::new(program()).arg("-v").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    let mut numbers =
        version.split_whitespace().nth(2).unwrap().split(['.', '-']).map(|n| n.parse::<u32>().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (3, 1)
}

/// Links that HAProxy has opened for requests.
fn links(agent: &Agent) -> usize {
    agent.log.lines_with(" link open, ").len()
}

#[test]
fn links_are_used_again() {
    let agent = Agent::with_rules(RULES, &["--debug"]);
    let haproxy = Haproxy::start(agent.address());
    for _ in 0..50 {
        haproxy.curl("/", &[]).assert_clean();
    }
    assert!(links(&agent) <= 5, "{} links for 50 requests, one after the other", links(&agent));
}

#[test]
fn requests_share_links_at_the_same_time() {
    // Each takes its time, so that they are there together.
    let agent = Agent::with_rules(RULES, &["--debug", "-n", "2", "-t", "100ms"]);
    // A thread of HAProxy's has links of its own, and shares one only once that has shaken hands.
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("haproxy.cfg");
    let deployed = std::fs::read_to_string(repository("deploy/haproxy.cfg")).unwrap();
    std::fs::write(&config, deployed.replacen("\nglobal\n", "\nglobal\n    nbthread 1\n", 1)).unwrap();
    let haproxy = Haproxy::start_from(&config, agent.address(), &[]);
    assert_eq!(curl(&haproxy, "/").status, 200);
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| assert_eq!(curl(&haproxy, "/").status, 200));
        }
    });
    let links = links(&agent);
    println!("{links} links for 40 requests at a time");
    // 3.1 and later put up to 20 on each, by thread; before, a link that is busy is not used for another.
    assert!(!has_multiplexer() || (2..=30).contains(&links), "{links} links");
}

#[test]
fn requests_that_haproxy_gives_up_on_without_a_word_harm_nobody() {
    let agent = Agent::with_rules(RULES, &["-n", "1", "--stall-limit", "60s"]);
    let folder = tempfile::tempdir().unwrap();
    let spoe = folder.path().join("spoe.conf");
    let deployed = std::fs::read_to_string(repository("deploy/spoe-modsecurity.conf")).unwrap();
    // Long enough for an answer on a busy machine, shorter than what the agent gives up after.
    let hasty = deployed.replace("timeout processing 600ms", "timeout processing 1s");
    assert_ne!(deployed, hasty);
    std::fs::write(&spoe, hasty).unwrap();
    let haproxy = Haproxy::start_with(agent.address(), &[("MODSEC_SPOE_CONF", spoe.to_str().unwrap())]);
    assert_eq!(curl(&haproxy, "/").status, 200);
    let engine = agent.engines()[0];
    signal(engine, "STOP");
    // More than HAProxy may have outstanding on one link: it forgets those that timed out.
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(curl(&haproxy, "/").status, 503));
        }
    });
    signal(engine, "CONT");
    // Then the late answers come, which nobody waits for, and after them those that somebody does.
    wait_until("its recovery", || curl(&haproxy, "/").status == 200);
    for _ in 0..20 {
        assert_eq!(curl(&haproxy, "/?q=bad").status, 403);
        assert_eq!(curl(&haproxy, "/?q=good").status, 200);
    }
}

#[test]
fn a_reload_of_haproxy_under_load_costs_no_request() {
    let agent = Agent::with_rules(RULES, &["-n", "2"]);
    let mut haproxy = Haproxy::start(agent.address());
    let address = haproxy.v4;
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..6 {
            let (over, asked) = (&over, &asked);
            scope.spawn(move || {
                let (target, expected) = if number % 2 == 0 { ("/?q=good", 200) } else { ("/?q=bad", 403) };
                while !over.load(Ordering::Relaxed) {
                    let answer = client::curl(&["--connect-to", &format!("::{address}")], target, &[]).0;
                    assert_eq!(answer.status, expected, "{answer:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _end = SetAtEnd(&over);
        for _ in 0..3 {
            let mut old = haproxy.reload();
            wait(&mut old);
            let before = asked.load(Ordering::Relaxed);
            wait_until("requests after the reload", || asked.load(Ordering::Relaxed) > before + 50);
        }
    });
    println!("{} requests during three reloads", asked.into_inner());
}
