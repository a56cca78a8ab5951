//! Is the handshake what HAProxy wants, for every HELLO that it may send, and is each refusal told with its code?

use crate::support::agent::Agent;
use crate::support::spop::{Farewell, Link, Message, hello, hello_frame};
use crate::support::wire::{AGENT_HELLO, Frame, HELLO, NOTIFY, Value, text};
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

/// The usual HELLO without one item.
fn hello_without(name: &str) -> Vec<(&'static str, Value)> {
    let mut items = hello();
    items.retain(|(key, _)| *key != name);
    items
}

fn refusal_of_bytes(bytes: &[u8]) -> Farewell {
    let mut link = agent().connect();
    link.send_bytes(bytes);
    link.expect_farewell()
}

fn refusal(items: Vec<(&'static str, Value)>) -> i64 {
    let farewell = refusal_of_bytes(&hello_frame(items).encode());
    assert!(!farewell.message.is_empty());
    farewell.code
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
fn an_engine_id_is_accepted_and_not_required() {
    let mut items = hello();
    items.push(("engine-id", text("8E0F9F6E-6E4F-4A5B-8C0B-0D2B7F4B9E7A")));
    assert_eq!(agent().connect().greet(items).get("version").unwrap().str(), "2.0");
}

#[test]
fn items_of_hello_come_in_any_order_and_unknown_ones_are_ignored() {
    let mut items = hello();
    items.reverse();
    items.insert(1, ("something-new", Value::Ipv6([1; 16])));
    assert_eq!(agent().connect().greet(items).get("version").unwrap().str(), "2.0");
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
fn a_notify_in_the_same_write_as_hello_is_answered() {
    let mut link = agent().connect();
    let notify = Message::get("/", None).notify(3, 7);
    link.send_bytes(&[hello_frame(hello()).encode(), notify.encode()].concat());
    link.expect_greeting();
    let ack = link.expect_ack();
    assert_eq!((ack.stream, ack.frame, ack.code()), (3, 7, Some(0)));
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
fn a_frame_too_big_before_the_handshake_is_refused_with_3() {
    assert_eq!(refusal_of_bytes(&[0x7F, 0xFF, 0xFF, 0xFF, HELLO]).code, 3);
    assert_eq!(refusal_of_bytes(&[0x00, 0x10, 0x00, 0x00, HELLO]).code, 3);
}

#[test]
fn what_is_no_valid_hello_is_refused_with_4() {
    let mut truncated = hello_frame(hello());
    truncated.payload.truncate(10);
    assert_eq!(refusal_of_bytes(&truncated.encode()).code, 4, "a payload that ends within an item");
    let unknown_type = Frame::new(HELLO, 0, 0, vec![1, b'a', 0x0A]);
    assert_eq!(refusal_of_bytes(&unknown_type.encode()).code, 4, "a value of unknown type");
    assert_eq!(refusal_of_bytes(&[0, 0, 0, 1, HELLO]).code, 4, "a frame shorter than its own head");
    assert_eq!(refusal_of_bytes(&[0, 0, 0, 0]).code, 4, "an empty frame");
}

#[test]
fn a_first_frame_that_is_not_hello_is_refused_with_4() {
    assert_eq!(refusal_of_bytes(&Message::get("/", None).notify(1, 1).encode()).code, 4);
    assert_eq!(refusal_of_bytes(&Frame::new(NOTIFY, 0, 0, hello_frame(hello()).payload).encode()).code, 4);
}

#[test]
fn a_hello_without_version_is_refused_with_5() {
    assert_eq!(refusal(hello_without("supported-versions")), 5);
}

#[test]
fn a_hello_without_frame_size_is_refused_with_6() {
    assert_eq!(refusal(hello_without("max-frame-size")), 6);
}

#[test]
fn a_hello_without_capabilities_is_refused_with_7() {
    assert_eq!(refusal(hello_without("capabilities")), 7);
}

#[test]
fn a_hello_with_an_unsupported_version_is_refused_with_8() {
    assert_eq!(refusal(hello_with("supported-versions", text("1.0"))), 8);
    assert_eq!(refusal(hello_with("supported-versions", text("3.0,12.0"))), 8);
}

#[test]
fn a_hello_with_a_bad_frame_size_is_refused_with_9() {
    assert_eq!(refusal(hello_with("max-frame-size", Value::Uint32(255))), 9);
    assert_eq!(refusal(hello_with("max-frame-size", Value::Uint32(0))), 9);
}

#[test]
fn a_fragmented_hello_is_refused() {
    let code = refusal_of_bytes(&hello_frame(hello()).flags(0).encode()).code;
    assert!(code == 10 || code == 4, "{code}");
}

#[test]
fn a_refused_link_harms_no_other() {
    let mut healthy = agent().link();
    assert_eq!(refusal(hello_without("capabilities")), 7);
    drop(Link::connect(agent().address()));
    assert_eq!(healthy.ask(&Message::get("/", None)).code(), Some(0));
}
