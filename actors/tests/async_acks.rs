//! What becomes of the answers of a link that is gone: another one of the same HAProxy brings them (capability `async`).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod support;

use std::time::Duration;

use actors::TreeSettings;
use actors::spop::{FrameId, FrameType};
use support::{Client, Tree, settings};

fn done(stream: u64) -> (u64, String) {
    (stream, "done".to_owned())
}

/// What this link is sent up to the answer to a request of its own, made when each worker is done with what it had.
fn answers(tree: &Tree, link: &mut Client) -> Vec<(u64, String)> {
    let mut probe = tree.connect();
    for worker in 1..=settings().workers {
        assert_eq!(probe.ask(&format!("work for {worker}")), "done");
    }
    link.order(9, "work");
    let mut answers = Vec::new();
    while answers.last().is_none_or(|(stream, _)| *stream != 9) {
        answers.push(link.ack());
    }
    answers.sort();
    answers
}

/// Two requests of a link of one engine-id, which closes while workers are at both. What a link of another gets.
fn answers_of_another(engine: &[u8], other: &[u8]) -> Vec<(u64, String)> {
    let tree = Tree::start(settings(), 0);
    let (mut leaving, mut staying) = (tree.connect_as(engine), tree.connect_as(other));
    leaving.order(1, "wait");
    leaving.order(3, "wait");
    tree.gate.await_waiting(2);
    drop(leaving);
    tree.log.wait_for("link closed", 1);
    tree.gate.open();
    answers(&tree, &mut staying)
}

#[test]
fn what_a_link_leaves_unanswered_another_of_its_engine_answers() {
    assert_eq!(answers_of_another(b"an-engine", b"an-engine"), [done(1), done(3), done(9)]);
}

#[test]
fn no_other_engine_gets_the_answers_of_a_link_that_is_gone() {
    assert_eq!(answers_of_another(b"an-engine", b"another-engine"), [done(9)]);
    assert_eq!(answers_of_another(b"", b""), [done(9)], "links without a name are of no engine");
    let long = [b'x'; 65];
    assert_eq!(answers_of_another(&long, &long), [done(9)], "a name too long to be kept is none");
}

#[test]
fn as_long_as_a_link_is_there_no_other_gets_its_answers() {
    let tree = Tree::start(settings(), 0);
    let (mut first, mut second) = (tree.connect_as(b"an-engine"), tree.connect_as(b"an-engine"));
    first.order(1, "work");
    assert_eq!(first.ack(), done(1));
    second.order(2, "work");
    assert_eq!(second.ack(), done(2));
}

#[test]
fn what_is_overdue_on_a_link_that_is_gone_is_answered_too_and_once() {
    let tree = Tree::start(TreeSettings { deadline: Duration::from_millis(500), ..settings() }, 0);
    let (mut leaving, mut staying) = (tree.connect_as(b"an-engine"), tree.connect_as(b"an-engine"));
    leaving.order(1, "wait");
    drop(leaving);
    assert_eq!(staying.ack(), (1, "timeout".to_owned()));
    tree.gate.open();
    assert_eq!(answers(&tree, &mut staying), [done(9)]);
}

#[test]
fn a_link_that_says_goodbye_leaves_its_answers_to_another() {
    let tree = Tree::start(settings(), 0);
    let (mut leaving, mut staying) = (tree.connect_as(b"an-engine"), tree.connect_as(b"an-engine"));
    leaving.order(1, "wait");
    leaving.order(3, "wait");
    tree.gate.await_waiting(2);
    leaving.send(FrameType::HaproxyDisconnect, FrameId::default(), b"");
    assert_eq!(leaving.receive().unwrap().kind, FrameType::AgentDisconnect);
    leaving.await_closed();
    tree.gate.open();
    assert_eq!(answers(&tree, &mut staying), [done(1), done(3), done(9)]);
}

#[test]
fn an_heir_that_is_gone_too_passes_the_answers_on() {
    let tree = Tree::start(settings(), 0);
    let mut staying = tree.connect_as(b"an-engine");
    let (mut first, mut second) = (tree.connect_as(b"an-engine"), tree.connect_as(b"an-engine"));
    first.order(1, "wait");
    second.order(2, "wait");
    tree.gate.await_waiting(2);
    // The youngest says goodbye, but its link is still there to be chosen.
    second.send(FrameType::HaproxyDisconnect, FrameId::default(), b"");
    assert_eq!(second.receive().unwrap().kind, FrameType::AgentDisconnect);
    drop(first);
    tree.log.wait_for("link closed", 1);
    tree.gate.open();
    assert_eq!(answers(&tree, &mut staying), [done(1), done(2), done(9)]);
}
