//! Who is blamed for the death of an engine, and who is not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod support;

use actors::TreeSettings;
use support::{Tree, settings};

/// A tree with one worker.
fn tree() -> Tree {
    Tree::start(TreeSettings { workers: 1, queue: 100, ..settings() }, 0)
}

#[test]
fn an_order_that_is_deadly_only_now_and_then_is_acquitted_by_each_verdict() {
    let tree = tree();
    let mut client = tree.connect();
    for _ in 0..5 {
        tree.deadly("popular", true);
        assert_eq!(client.ask("popular"), "crash");
        tree.deadly("popular", false);
        assert_eq!(client.ask("popular"), "done");
    }
}

#[test]
fn the_late_damage_of_one_request_puts_no_other_in_quarantine() {
    let tree = tree();
    let mut client = tree.connect();
    for _ in 0..5 {
        assert_eq!(client.ask("blight"), "done");
        assert_eq!(client.ask("popular"), "crash");
        // Damage again, before there is a verdict.
        assert_eq!(client.ask("blight"), "done");
        assert_eq!(client.ask("popular"), "done", "in an engine that has inspected nothing before");
    }
}

#[test]
fn a_suspect_for_which_there_is_no_fresh_engine_proves_nothing() {
    let tree = tree();
    let mut client = tree.connect();
    for _ in 0..5 {
        assert_eq!(client.ask("blight"), "done");
        assert_eq!(client.ask("popular"), "crash");
        assert_eq!(client.ask("blight"), "done");
        *tree.agent.reloads.to_fail.lock().unwrap() = true;
        assert_eq!(client.ask("popular"), "crash");
        assert_eq!(client.ask("popular"), "done");
    }
}

/// Many at once die of late damage before the first is tried.
#[test]
fn deaths_of_engines_that_inspected_others_before_are_no_proof() {
    let tree = Tree::start(TreeSettings { workers: 8, queue: 100, ..settings() }, 0);
    let mut client = tree.connect();
    for worker in 1..=8 {
        assert_eq!(client.ask(&format!("blight for {worker}")), "done");
    }
    (0..8).for_each(|stream| client.order(stream, "popular"));
    let answers: Vec<_> = (0..8).map(|_| client.ack().1).collect();
    assert!(answers.iter().all(|answer| answer == "crash" || answer == "done"), "{answers:?}");
    // Some may still have their damage, but not for long.
    for _ in 0..16 {
        assert_ne!(client.ask("popular"), "quarantine");
    }
    assert_eq!(client.ask("popular"), "done");
}

#[test]
fn an_engine_that_is_killed_from_outside_blames_nobody() {
    let tree = tree();
    let mut client = tree.connect();
    for _ in 0..5 {
        assert_eq!(client.ask("killed"), "crash");
    }
    tree.log.wait_for("worker restarted", 5);
    assert_eq!(client.ask("work"), "done");
    assert_eq!(*tree.agent.fingerprints.lock().unwrap(), 5, "one for each death: nobody is in the list");
}

#[test]
fn a_request_that_crashed_two_engines_touches_no_third() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    assert_eq!(client.ask("panic"), "crash");
    assert_eq!(client.ask("panic"), "crash");
    tree.log.wait_for("request quarantined, it has crashed two engines held_ms=5000", 1);
    assert_eq!(client.ask("panic"), "quarantine");
    assert_eq!(client.ask("panic but differently"), "crash");
    assert_eq!(client.ask("work"), "done");
    tree.log.wait_for("worker restarted", 3);
    assert_eq!(tree.log.wait_for("worker crashed", 3).len(), 3);
}

/// Nobody else can try it: its second death in a row is enough, whatever the engine inspected before.
#[test]
fn a_request_for_one_worker_that_crashed_two_engines_touches_no_third() {
    let tree = tree();
    let mut client = tree.connect();
    for answer in ["crash", "crash", "quarantine"] {
        if answer != "quarantine" {
            assert_eq!(client.ask("work"), "done");
        }
        assert_eq!(client.ask("panic for 1"), answer);
    }
}

#[test]
fn what_an_engine_has_not_begun_when_it_dies_another_engine_gets_once() {
    let tree = tree();
    let mut client = tree.connect();
    tree.deadly("vanish", true);
    assert_eq!(client.ask("vanish"), "crash");
    let crashes = tree.log.wait_for("worker crashed", 2);
    assert!(crashes.iter().all(|line| line.contains("request=none")), "{crashes:#?}");
    assert_eq!(client.ask("vanish"), "crash", "and not in quarantine: no engine has begun with it");
    tree.deadly("vanish", false);
    assert_eq!(client.ask("vanish"), "done");
}

#[test]
fn no_request_is_hashed_twice_and_none_while_nobody_is_suspected() {
    let tree = tree();
    let mut client = tree.connect();
    let fingerprints = || std::mem::take(&mut *tree.agent.fingerprints.lock().unwrap());
    (0..10).for_each(|_| assert_eq!(client.ask("work"), "done"));
    assert_eq!(fingerprints(), 0);
    assert_eq!(client.ask("panic"), "crash");
    // The blame comes after the answer.
    tree.log.wait_for("worker restarted", 1);
    assert_eq!(fingerprints(), 1);
    (0..10).for_each(|_| assert_eq!(client.ask("work"), "done"));
    assert_eq!(fingerprints(), 10);
}
