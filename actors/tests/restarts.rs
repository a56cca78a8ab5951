//! Which ends of engines need a delay or a rebuild, and what becomes of the requests meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod support;

use std::time::{Duration, Instant};

use actors::TreeSettings;
use actors::spop::FrameType;
use support::{PATIENCE, Tree, settings};

/// The delays in lines of the log.
fn delays(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| line.split("restart_in_ms=").nth(1).unwrap()).collect()
}

#[test]
fn a_death_that_takes_a_request_with_it_needs_no_delay() {
    let tree = Tree::start(TreeSettings { workers: 1, ..settings() }, 0);
    let mut client = tree.connect();
    for number in 0..20 {
        assert_eq!(client.ask(&format!("panic {number}")), "crash");
        assert_eq!(client.ask(&format!("killed {number}")), "crash");
        assert_eq!(client.ask("work"), "done");
    }
    let crashes = tree.log.wait_for("worker crashed", 40);
    assert_eq!(delays(&crashes), vec!["0"; 40]);
}

#[test]
fn requests_wait_for_an_engine_that_fails_to_start_for_a_moment() {
    let tree = Tree::start(TreeSettings { workers: 1, ..settings() }, 0);
    let mut client = tree.connect();
    *tree.agent.false_starts.lock().unwrap() = 2;
    assert_eq!(client.ask("panic"), "crash");
    tree.log.wait_for("false start", 1);
    assert_eq!(client.ask("work"), "done");
}

#[test]
fn an_engine_that_does_not_start_is_tried_again_with_growing_delays() {
    let tree = Tree::start(TreeSettings { workers: 1, ..settings() }, 0);
    let mut client = tree.connect();
    *tree.agent.false_starts.lock().unwrap() = 4;
    assert_eq!(client.ask("panic"), "crash");
    let crashes = tree.log.wait_for("worker crashed", 5);
    assert_eq!(delays(&crashes), ["0", "10", "20", "40", "40"]);
    assert!(crashes[1].contains("false start"), "{}", crashes[1]);
    tree.log.wait_for("worker restarted", 1);
    assert_eq!(client.ask("work"), "done");
}

/// What is missing for one engine, a rebuild would take from all.
#[test]
fn while_an_engine_runs_nothing_is_rebuilt_for_one_that_does_not_start() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    *tree.agent.false_starts.lock().unwrap() = usize::MAX;
    assert_eq!(client.ask("panic"), "crash");
    tree.log.wait_for("false start", 20);
    assert_eq!(client.ask("work"), "done");
    assert_eq!(*tree.agent.rebuilds.lock().unwrap(), 0);
    assert_eq!(tree.health_check(), FrameType::AgentHello);
    *tree.agent.false_starts.lock().unwrap() = 0;
    tree.log.wait_for("worker restarted", 1);
}

#[test]
fn nothing_is_rebuilt_because_the_system_lacks_something() {
    let tree = Tree::start(TreeSettings { workers: 1, ..settings() }, 0);
    let mut client = tree.connect();
    *tree.agent.is_short.lock().unwrap() = true;
    *tree.agent.false_starts.lock().unwrap() = usize::MAX;
    assert_eq!(client.ask("panic"), "crash");
    tree.log.wait_for("shortage", 20);
    assert_eq!(*tree.agent.rebuilds.lock().unwrap(), 0);
    assert_eq!(client.ask("work"), "crash");
    *tree.agent.false_starts.lock().unwrap() = 0;
    tree.log.wait_for("an engine runs again", 1);
    assert_eq!(client.ask("work"), "done");
}

#[test]
fn engines_that_die_of_every_request_are_rebuilt_once_and_then_health_checks_fail_until_one_gives_a_verdict()
{
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    let mut number = 0;
    let mut kill = || {
        number += 1;
        assert_eq!(client.ask(&format!("panic {number}")), "crash");
    };
    let start = Instant::now();
    while tree.health_check() == FrameType::AgentHello {
        assert!(start.elapsed() < 2 * PATIENCE);
        kill();
    }
    assert!(start.elapsed() >= Duration::from_secs(6), "{:?}", start.elapsed());
    tree.log.wait_for("down: engines die of every request", 1);
    assert_eq!(tree.log.wait_for("escalated", 1).len(), 1);
    assert_eq!(*tree.agent.rebuilds.lock().unwrap(), 1);
    let crashes = tree.log.wait_for("worker crashed", 6);
    assert!(delays(&crashes).iter().all(|delay| *delay == "0"), "{crashes:#?}");
    assert_eq!(client.ask("work"), "done", "whoever asks for something else gets an engine");
    tree.log.wait_for("an engine runs again", 1);
    assert_eq!(tree.health_check(), FrameType::AgentHello);
}

#[test]
fn nothing_is_rebuilt_while_an_engine_runs_that_has_given_a_verdict() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    assert_eq!(client.ask("work for 2"), "done");
    let start = Instant::now();
    for number in 0.. {
        assert_eq!(client.ask(&format!("panic {number} for 1")), "crash");
        if start.elapsed() > Duration::from_secs(4) && number > 20 {
            break;
        }
    }
    assert_eq!(*tree.agent.rebuilds.lock().unwrap(), 0);
}

/// What its engine had is gone, so any other may take it.
#[test]
fn what_is_for_a_worker_that_waits_for_an_engine_another_takes() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    client.order(1, "doomed for 1");
    tree.gate.await_waiting(1);
    client.order(2, "work for 1");
    client.await_read();
    *tree.agent.false_starts.lock().unwrap() = usize::MAX;
    tree.gate.open();
    assert_eq!([client.ack(), client.ack()], [(1, "crash".to_owned()), (2, "done".to_owned())]);
    tree.log.wait_for("false start", 2);
    assert_eq!(client.ask("work for 1"), "done");
}

#[test]
fn what_waits_when_the_pool_goes_down_is_answered_at_once() {
    let tree = Tree::start(TreeSettings { workers: 1, ..settings() }, 0);
    let mut client = tree.connect();
    client.order(1, "doomed");
    tree.gate.await_waiting(1);
    client.order(2, "work");
    client.order(3, "work for 1");
    client.await_read();
    *tree.agent.false_starts.lock().unwrap() = usize::MAX;
    let start = Instant::now();
    tree.gate.open();
    let mut answers: Vec<_> = (0..3).map(|_| client.ack()).collect();
    answers.sort();
    assert_eq!(answers, [1, 2, 3].map(|stream| (stream, "crash".to_owned())));
    assert!(start.elapsed() < PATIENCE / 2, "the deadline is {PATIENCE:?}: {:?}", start.elapsed());
}

#[test]
fn a_tree_whose_engines_do_not_all_start_says_why_and_stops() {
    let tree = Tree::try_start(TreeSettings { workers: 3, ..settings() }, 1);
    let cause = tree.err().unwrap();
    assert!(cause.starts_with("worker ") && cause.contains("false start"), "{cause}");
}

#[test]
fn engines_that_die_whatever_they_are_given_are_rebuilt_and_then_the_pool_is_down_until_one_lives() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    assert_eq!(client.ask("work"), "done");
    assert_eq!(tree.health_check(), FrameType::AgentHello);
    *tree.agent.false_starts.lock().unwrap() = usize::MAX;
    assert_eq!(client.ask("panic 1"), "crash");
    assert_eq!(client.ask("panic 2"), "crash");
    tree.log.wait_for("escalated", 2);
    tree.log.wait_for("down: no engine runs", 1);
    assert!(*tree.agent.rebuilds.lock().unwrap() >= 2);
    assert_eq!(tree.health_check(), FrameType::AgentDisconnect);
    assert_eq!(client.ask("work"), "crash", "at once, though nobody works");
    *tree.agent.false_starts.lock().unwrap() = 0;
    tree.log.wait_for("an engine runs again", 1);
    assert_eq!(client.ask("work"), "done");
    assert_eq!(tree.health_check(), FrameType::AgentHello);
}
