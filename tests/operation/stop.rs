//! Does the agent stop in good order: what is in flight answered, links told, sockets removed?

use crate::support::agent::Agent;
use crate::support::spop::{Link, Message};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

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
