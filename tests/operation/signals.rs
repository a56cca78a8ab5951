//! Does a signal at any time do what it is for, and nothing else?

use std::fs;

use crate::support::agent::{Agent, rule_file};
use crate::support::process::signal;
use crate::support::spop::Message;
use crate::support::waiting::wait_until;

const RULES: &str =
    "SecRuleEngine On\nSecRequestBodyAccess On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny\"\n";

/// Whether the process holds SIGHUP back: it has begun, and is not ready.
fn holds_hangup_back(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    blocked.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
}

/// With the Core Rule Set, which takes a moment to load.
fn early(isolation: &str, reloaded: &str) {
    let options = ["--listen", "127.0.0.1:0", "--isolation", isolation, "--debug"];
    let mut agent = Agent::launch(&options, &[]);
    wait_until("the beginning", || holds_hangup_back(agent.pid()));
    assert_eq!(agent.log.lines_with(" ready, "), Vec::<String>::new());
    for name in ["HUP", "USR1"] {
        agent.signal(name);
    }
    agent.log.wait_for_text(" reloading, signal: SIGHUP");
    agent.log.wait_for_text(" reopening logs, signal: SIGUSR1");
    agent.log.wait_for_text(reloaded);
    assert!(agent.runs());
    assert_eq!(agent.stop().0.code(), Some(0));
}

#[test]
fn signals_that_come_before_it_is_ready_wait_until_it_is() {
    early("process", " rules reloaded, ");
}

#[test]
fn signals_that_come_before_it_is_ready_wait_until_it_is_with_threads() {
    early("thread", " replacing the process");
}

#[test]
fn signals_that_zygotes_and_engines_get_end_nothing() {
    let agent = Agent::with_rules(RULES, &["-n", "2"]);
    let mut link = agent.link();
    let mut before = agent.helpers();
    let mark = agent.log.lines().len();
    for pid in &before {
        // A service manager may send them to all processes of the service.
        signal(*pid, "USR1");
        signal(*pid, "USR2");
    }
    for _ in 0..20 {
        assert_eq!(link.ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
    }
    let mut after = agent.helpers();
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after);
    let (status, log) = agent.stop();
    assert_eq!(status.code(), Some(0));
    assert!(
        !log.iter().skip(mark).any(|line| line.contains(" WARN ") || line.contains(" ERRO ")),
        "{log:#?}"
    );
}

/// What ps(1) and pgrep(1) find it by.
#[test]
fn a_process_that_was_replaced_keeps_its_name_and_its_arguments() {
    let (_folder, rules) = rule_file(RULES);
    let options = ["--listen", "127.0.0.1:0", "-f", rules.to_str().unwrap(), "--isolation", "thread"];
    let agent = Agent::start_exactly(&options, &[]);
    let proc = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", agent.pid())).unwrap();
    let (name, arguments) = (proc("comm"), proc("cmdline"));
    assert!(name.starts_with("modsecurity-"), "{name}");
    for round in 1..=2 {
        agent.signal("HUP");
        wait_until("the new process", || agent.log.lines_with(" ready, ").len() == round + 1);
        assert_eq!((proc("comm"), proc("cmdline")), (name.clone(), arguments.clone()));
    }
}
