//! Does HAProxy's agent check say how the tree is, and does a tree that leaves lose nothing?

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod support;

use std::time::{Duration, Instant};

use actors::TreeSettings;
use actors::spop::FrameType;
use support::{PATIENCE, Tree, settings};

#[test]
fn the_weight_is_what_the_queue_has_room_for() {
    let tree = Tree::start(settings(), 0);
    assert_eq!(tree.agent_check(), "ready up 100%\n");
    let mut client = tree.connect();
    for stream in 1..=4 {
        client.order(stream, "wait");
    }
    tree.gate.await_waiting(2);
    // Two are at the workers, and two of four places are taken.
    tree.await_agent_check("ready up 50%\n");
    client.order(5, "wait");
    client.order(6, "wait");
    // A weight of 0 would be a drained server.
    tree.await_agent_check("ready up 1%\n");
    tree.gate.open();
    for _ in 1..=6 {
        assert_eq!(client.ack().1, "done");
    }
    tree.await_agent_check("ready up 100%\n");
}

#[test]
fn a_pool_that_is_down_says_so_and_why() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    *tree.agent.false_starts.lock().unwrap() = usize::MAX;
    assert_eq!(client.ask("panic 1"), "crash");
    assert_eq!(client.ask("panic 2"), "crash");
    tree.log.wait_for("down: no engine runs", 1);
    assert_eq!(tree.agent_check(), "down #no engine runs\n");
    *tree.agent.false_starts.lock().unwrap() = 0;
    tree.await_agent_check("ready up 100%\n");
}

#[test]
fn a_tree_that_leaves_serves_until_those_who_ask_know() {
    let tree = Tree::start(TreeSettings { grace: 6 * PATIENCE, ..settings() }, 0);
    let mut client = tree.connect();
    assert_eq!(tree.agent_check(), "ready up 100%\n");
    assert_eq!(tree.health_check(), FrameType::AgentHello);
    tree.leave();
    // It is told in its turn.
    let start = Instant::now();
    while tree.health_check() == FrameType::AgentHello {
        assert!(start.elapsed() < PATIENCE, "health checks do not fail");
    }
    assert_eq!(client.ask("work"), "done");
    assert_eq!(tree.connect().ask("work"), "done", "a new link is served as well");
    client.order(1, "wait");
    tree.gate.await_waiting(1);
    assert_eq!(tree.agent_check(), "drain\n");
    client.order(2, "wait");
    tree.gate.await_waiting(2);
    tree.gate.open();
    assert_eq!([client.ack().1, client.ack().1], ["done", "done"]);
    assert_eq!(client.receive().unwrap().kind, FrameType::AgentDisconnect);
    tree.join();
}

#[test]
fn a_tree_that_nobody_asks_leaves_at_once() {
    let tree = Tree::start(TreeSettings { grace: 6 * PATIENCE, ..settings() }, 0);
    let mut client = tree.connect();
    tree.leave();
    assert_eq!(client.receive().unwrap().kind, FrameType::AgentDisconnect);
    tree.join();
}

#[test]
fn one_who_asked_and_does_not_ask_again_is_not_waited_for_longer_than_half_the_grace() {
    let tree = Tree::start(TreeSettings { grace: Duration::from_millis(200), ..settings() }, 0);
    let mut client = tree.connect();
    assert_eq!(tree.agent_check(), "ready up 100%\n");
    tree.leave();
    assert_eq!(client.receive().unwrap().kind, FrameType::AgentDisconnect);
    tree.join();
}

/// As HAProxy does when the answer takes too long. With SO_LINGER of 0 the link is reset.
#[test]
fn one_who_has_given_up_before_the_answer_is_not_waited_for() {
    let tree = Tree::start(TreeSettings { grace: 60 * PATIENCE, ..settings() }, 0);
    for _ in 0..50 {
        tree.agent_check_given_up();
    }
    assert_eq!(tree.agent_check(), "ready up 100%\n");
    tree.leave();
    tree.await_agent_check("drain\n");
    tree.await_no_listener();
    tree.join();
}

#[test]
fn what_comes_while_the_tree_stops_is_answered_too() {
    let tree = Tree::start(TreeSettings { grace: 6 * PATIENCE, ..settings() }, 0);
    let mut client = tree.connect();
    client.order(1, "wait");
    tree.gate.await_waiting(1);
    tree.leave();
    // The listener goes, and in the same turn its links are told.
    tree.await_no_listener();
    client.order(2, "wait");
    tree.gate.await_waiting(2);
    tree.gate.open();
    let mut answers = [client.ack(), client.ack()];
    answers.sort();
    assert_eq!(answers, [1, 2].map(|stream| (stream, "done".to_owned())));
    assert_eq!(client.receive().unwrap().kind, FrameType::AgentDisconnect);
    tree.join();
}
