//! Is what the handshake agrees on what HAProxy offered and the options allow, and does the answer come whole?
//!
//! Whatever may be wrong with a HELLO has its code in the battery (`battery/hello.rs`).

use crate::support::agent::Agent;
use crate::support::spop::{Link, Message, hello, hello_frame};
use crate::support::wire::{AGENT_HELLO, Frame, Value, text};
use std::sync::OnceLock;

/// The agent that the tests of this file share.
fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| Agent::with_rules("SecRuleEngine On\n", &[]))
}

/// The usual HELLO with another value for one item.
fn hello_with(name: &str, value: Value) -> Vec<(&'static str, Value)> {
    let mut items = hello();
    items.iter_mut().find(|(key, _)| *key == name).unwrap().1 = value;
    items
}

fn agreed_size(agent: &Agent, offered: u32) -> i64 {
    agent
        .connect()
        .greet(hello_with("max-frame-size", Value::Uint32(offered)))
        .get("max-frame-size")
        .unwrap()
        .int()
}

fn agreed_capabilities(agent: &Agent, offered: &str) -> String {
    agent
        .connect()
        .greet(hello_with("capabilities", text(offered)))
        .get("capabilities")
        .unwrap()
        .str()
        .to_owned()
}

#[test]
fn version_2_0_is_agreed_on() {
    let greeting = agent().connect().greet(hello());
    assert_eq!(greeting.get("version").unwrap().str(), "2.0");
    let several = agent().connect().greet(hello_with("supported-versions", text("1.0, 2.0")));
    assert_eq!(several.get("version").unwrap().str(), "2.0");
}

#[test]
fn the_smaller_frame_size_is_agreed_on() {
    assert_eq!(agreed_size(agent(), 16380), 16380);
    assert_eq!(agreed_size(agent(), 256), 256);
    assert_eq!(agreed_size(agent(), 1_000_000), 16384);
}

#[test]
fn the_option_max_frame_size_is_obeyed() {
    let small = Agent::start(&["-m", "300"]);
    assert_eq!(agreed_size(&small, 16380), 300);
    let large = Agent::start(&["-m", "16777216"]);
    assert_eq!(agreed_size(&large, 65532), 65532);
    assert_eq!(agreed_size(&large, 20_000_000), 16_777_216);
}

#[test]
fn pipelining_is_announced_when_offered() {
    assert_eq!(agreed_capabilities(agent(), "pipelining"), "pipelining,fragmentation");
    assert_eq!(agreed_capabilities(agent(), "pipelining,async"), "pipelining,fragmentation");
    assert_eq!(agreed_capabilities(agent(), "async, pipelining"), "pipelining,fragmentation");
}

#[test]
fn pipelining_is_not_announced_when_not_offered() {
    assert_eq!(agreed_capabilities(agent(), ""), "fragmentation");
    assert_eq!(agreed_capabilities(agent(), "async"), "fragmentation");
}

#[test]
fn the_option_capability_leaves_the_others_out() {
    let offered = "pipelining,async,fragmentation";
    let announced = |options: &[&str]| agreed_capabilities(&Agent::start(options), offered);
    assert_eq!(announced(&["-c", "pipelining"]), "pipelining");
    assert_eq!(announced(&["-c", "fragmentation"]), "fragmentation");
    assert_eq!(announced(&["-c", "fragmentation", "-c", "pipelining"]), "pipelining,fragmentation");
}

#[test]
fn agent_hello_comes_in_one_read() {
    for _ in 0..200 {
        let mut link = agent().connect();
        link.send(&hello_frame(hello()));
        let bytes = link.read_once();
        let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        assert_eq!(bytes.len(), length + 4, "AGENT-HELLO arrives in parts");
        assert_eq!(Frame::decode(&bytes[4..]).kind, AGENT_HELLO);
    }
}

#[test]
fn a_hello_that_arrives_byte_by_byte_is_answered() {
    let mut link = agent().connect();
    for byte in hello_frame(hello()).encode() {
        link.send_bytes(&[byte]);
    }
    assert_eq!(link.expect_greeting().get("version").unwrap().str(), "2.0");
}

#[test]
fn a_health_check_is_answered_and_then_closed() {
    // What "option spop-check" of HAProxy 2.6 to 3.2 sends, byte by byte.
    let check =
        b"\0\0\0N\x01\0\0\0\x01\0\0\x12supported-versions\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\x06\
        \x0ccapabilities\x08\0\x0bhealthcheck\x11";
    let mut link = agent().connect();
    link.send_bytes(check);
    let greeting = link.expect_greeting();
    assert_eq!(greeting.get("version").unwrap().str(), "2.0");
    assert_eq!(greeting.get("max-frame-size").unwrap().int(), 16380);
    assert_eq!(greeting.get("capabilities").unwrap().str(), "");
    assert_eq!(link.receive(), None, "the agent keeps the link of a health check");
}

#[test]
fn a_fragmented_hello_is_refused_though_fragments_are_announced() {
    let mut link = agent().connect();
    link.send(&hello_frame(hello()).flags(0));
    assert_eq!(link.expect_farewell().code, 10);
}

#[test]
fn a_refused_link_harms_no_other() {
    let mut healthy = agent().link();
    let mut refused = agent().connect();
    refused.send(&hello_frame(Vec::new()));
    assert_eq!(refused.expect_farewell().code, 5);
    drop(Link::connect(agent().address()));
    assert_eq!(healthy.ask(&Message::get("/", None)).code(), Some(0));
}
