//! Does the agent stop in good order: what is in flight answered, links told, sockets removed?

use crate::support::agent::{Agent, rule_file};
use crate::support::background::runs;
use crate::support::process::signal;
use crate::support::spop::{Link, Message, hello, hello_frame};
use crate::support::waiting::wait_until;
use crate::support::wire::{AGENT_DISCONNECT, AGENT_HELLO, Value};
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\n";

fn stops_with_0(signal: &str) {
    let mut agent = Agent::start(&[]);
    agent.signal(signal);
    assert_eq!(agent.wait().code(), Some(0));
    let log = agent.log.wait_for_end();
    let stopping =
        log.iter().position(|line| line.contains(&format!(" stopping, signal: SIG{signal}"))).unwrap();
    let stopped = log.iter().position(|line| line.contains(" stopped")).unwrap();
    assert!(stopping < stopped, "{log:#?}");
}

#[test]
fn sigterm_stops_with_0() {
    stops_with_0("TERM");
}

#[test]
fn sigint_stops_with_0() {
    stops_with_0("INT");
}

/// The zygote waits 3 s for engines that have something to finish; those that have ended are not waited for, in whatever
/// order they and their workers did so.
#[test]
fn engines_that_have_ended_are_not_waited_for() {
    for round in 0..24 {
        let mut agent = Agent::start(&["-n", "2"]);
        assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
        let start = Instant::now();
        agent.signal("TERM");
        assert_eq!(agent.wait().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(3), "stop {round} takes {:?}", start.elapsed());
    }
}

#[test]
fn sighup_stops_nothing() {
    let agent = Agent::start(&[]);
    let mut link = agent.link();
    agent.signal("HUP");
    agent.log.wait_for_text("SIGHUP");
    assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0));
}

#[test]
fn idle_links_are_told_that_the_agent_stops() {
    let agent = Agent::start(&[]);
    let mut links: Vec<Link> = (0..3).map(|_| agent.link()).collect();
    agent.signal("TERM");
    for link in &mut links {
        assert_eq!(link.expect_farewell().code, 0);
    }
    assert_eq!(agent.stop_status(), Some(0));
}

#[test]
fn requests_in_flight_are_answered_before_the_agent_stops() {
    let agent = Agent::start(&["-n", "1", "-t", "80ms"]);
    let mut link = agent.link();
    // One write, read by the agent at once; the throttle keeps the later ones in its queue.
    let requests: Vec<u8> =
        (1..=3).flat_map(|stream| Message::get("/", None).notify(stream, 1).encode()).collect();
    link.send_bytes(&requests);
    assert_eq!(link.expect_ack().code(), Some(0));
    agent.signal("TERM");
    for _ in 2..=3 {
        let ack = link.expect_ack();
        assert_eq!((ack.code(), ack.error()), (Some(0), None), "{ack:?}");
    }
    assert_eq!(link.expect_farewell().code, 0);
    assert_eq!(agent.stop_status(), Some(0));
}

/// Stops an agent while it is busy for a while: whether it was seen to refuse a link before it ended.
fn refuses_a_link_while_it_stops() -> bool {
    let mut agent = Agent::start(&["-n", "1", "-t", "400ms"]);
    let mut link = agent.link();
    link.send(&Message::get("/", None).notify(1, 1));
    agent.signal("TERM");
    agent.log.wait_for_text(" stopping, ");
    while TcpStream::connect(agent.address()).is_ok() {}
    let seen = agent.runs();
    assert_eq!(link.expect_ack().code(), Some(0));
    assert_eq!(link.expect_farewell().code, 0);
    seen
}

#[test]
fn a_stopping_agent_accepts_no_new_link() {
    // On a busy machine its end may come before our look.
    assert!((0..5).any(|_| refuses_a_link_while_it_stops()), "it accepts links to its end");
}

#[test]
fn a_unix_socket_is_removed_at_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let agent = Agent::start_at(&[&format!("unix:{}", path.display())]);
    assert!(Path::exists(&path));
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
    assert_eq!(agent.stop().0.code(), Some(0));
    assert!(!Path::exists(&path), "the socket is still there");
}

#[test]
fn a_unix_socket_that_a_killed_agent_left_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("agent.sock").display());
    let mut killed = Agent::start_at(&[&address]);
    killed.signal("KILL");
    killed.wait();
    let agent = Agent::start_at(&[&address]);
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
}

#[test]
fn a_client_that_goes_away_harms_nobody() {
    let agent = Agent::start(&["-n", "1", "-t", "50ms"]);
    for _ in 0..5 {
        let mut link = agent.link();
        link.send(&Message::get("/", None).notify(1, 1));
        drop(link);
    }
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
    assert_eq!(agent.stop().0.code(), Some(0));
}

/// Sends a signal to all engines.
fn to_engines(agent: &Agent, name: &str) {
    for engine in agent.engines() {
        signal(engine, name);
    }
}

/// With engines that are held up, so that all are in flight when the signal comes, and more come after it.
#[test]
fn of_200_in_flight_none_is_lost() {
    // With a deadline that those keep, too, which wait behind an engine that seems to take a second for each.
    let options = ["-n", "2", "--stall-limit", "600s", "--grace", "60s", "--deadline", "600s", "--debug"];
    let agent = Agent::with_rules(RULES, &options);
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
    to_engines(&agent, "STOP");
    let mut links: Vec<Link> = (0..8).map(|_| agent.link()).collect();
    let send = |link: &mut Link, streams: std::ops::RangeInclusive<u64>| {
        let frames = streams.flat_map(|stream| Message::get("/", None).notify(stream, 1).encode());
        link.send_bytes(&frames.collect::<Vec<u8>>());
    };
    links.iter_mut().for_each(|link| send(link, 1..=25));
    agent.signal("TERM");
    agent.log.wait_for_text(" stopping, ");
    while TcpStream::connect(agent.address()).is_ok() {}
    links.iter_mut().for_each(|link| send(link, 26..=30));
    to_engines(&agent, "CONT");
    for link in &mut links {
        let mut answered = BTreeSet::new();
        while answered.len() < 30 {
            let ack = link.expect_ack();
            assert_eq!((ack.code(), ack.error()), (Some(0), None), "{ack:?}");
            assert!(answered.insert(ack.stream), "stream {} is answered twice", ack.stream);
        }
        assert_eq!(link.expect_farewell().code, 0);
    }
    assert_eq!(agent.stop_status(), Some(0));
}

#[test]
fn what_is_in_flight_after_the_grace_is_answered_and_the_agent_ends() {
    let agent = Agent::with_rules(RULES, &["-n", "1", "--stall-limit", "600s", "--grace", "100ms"]);
    let mut link = agent.link();
    assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0));
    to_engines(&agent, "STOP");
    link.send(&Message::get("/", None).notify(1, 1));
    agent.signal("TERM");
    let ack = link.expect_ack();
    assert_eq!((ack.code(), ack.error()), (None, Some("shutdown")), "{ack:?}");
    assert_eq!(link.expect_farewell().code, 0);
    let engines = agent.engines();
    assert_eq!(agent.stop_status(), Some(0));
    wait_until("the end of its engine", || engines.iter().all(|&pid| !runs(pid)));
}

/// A request that never ends would keep it for ten minutes.
#[test]
fn a_second_signal_ends_the_agent_at_once() {
    let (_rules, rules) = rule_file(RULES);
    for isolation in ["process", "thread"] {
        for names in [["TERM", "TERM"], ["INT", "TERM"], ["TERM", "INT"]] {
            let folder = tempfile::tempdir().unwrap();
            let (socket, number) = (folder.path().join("agent.sock"), folder.path().join("agent.pid"));
            let (listen, file) = (format!("unix:{}", socket.display()), number.to_str().unwrap());
            let mut agent = Agent::start_exactly(
                &[
                    &["--listen", &listen, "--pid-file", file, "--isolation", isolation][..],
                    &["-f", rules.to_str().unwrap()],
                    &["-n", "1", "--grace", "600s", "--deadline", "900s", "-t", "800s"],
                ]
                .concat(),
                &[],
            );
            let helpers = agent.helpers();
            let mut link = agent.link();
            link.send(&Message::get("/", None).notify(1, 1));
            agent.signal(names[0]);
            agent.log.wait_for_text(" stopping, ");
            assert!(agent.runs());
            agent.signal(names[1]);
            assert_eq!(agent.wait().code(), Some(1));
            let log = agent.log.wait_for_end();
            let last = log.last().unwrap();
            assert!(last.contains(" WARN stopping at once, "), "{last}");
            assert!(!socket.exists() && !number.exists());
            wait_until("the end of its engines", || helpers.iter().all(|&pid| !runs(pid)));
        }
    }
}

/// A health check on a link that was there before the signal.
#[test]
fn health_checks_fail_while_it_stops() {
    let agent = Agent::with_rules(RULES, &["-n", "1", "--stall-limit", "600s", "--grace", "60s", "--debug"]);
    let mut busy = agent.link();
    assert_eq!(busy.ask(&Message::get("/", None)).code(), Some(0));
    let check = |link: &mut Link| {
        let mut items = hello();
        items.push(("healthcheck", Value::Bool(true)));
        link.send(&hello_frame(items));
        link.expect().kind
    };
    assert_eq!(check(&mut agent.connect()), AGENT_HELLO);
    to_engines(&agent, "STOP");
    let mut link = agent.connect();
    busy.send(&Message::get("/", None).notify(1, 1));
    agent.signal("TERM");
    agent.log.wait_for_text(" stopping, ");
    assert_eq!(check(&mut link), AGENT_DISCONNECT);
    to_engines(&agent, "CONT");
    assert_eq!(busy.expect_ack().code(), Some(0));
    assert_eq!(busy.expect_farewell().code, 0);
    assert_eq!(agent.stop_status(), Some(0));
}
