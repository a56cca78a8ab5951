//! Is a request that nobody could inspect always answered, never called clean, and treated as `--on-error` says?

use crate::support::agent::Agent;
use crate::support::spop::{Ack, EIGHT, Message};
use crate::support::wire::{ACK, Frame, NOTIFY, Value, text, varint};
use std::sync::OnceLock;

const RULES: &str = "SecRuleEngine On
SecRule ARGS_GET:deny \"@streq query\" \"id:1,phase:1,deny,status:471\"
";

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| Agent::with_rules(RULES, &[]))
}

fn clean() -> Message {
    Message::get("/", Some("a=1"))
}

/// Sends a NOTIFY with this payload, and checks that the link still works after its answer.
fn ack_of(payload: Vec<u8>) -> Ack {
    let mut link = agent().link();
    link.send(&Frame::new(NOTIFY, 1, 1, payload));
    let ack = link.expect_ack();
    assert_eq!((ack.stream, ack.frame), (1, 1));
    assert_eq!(link.ask(&clean()).code(), Some(0), "the link is of no use after a bad message");
    ack
}

#[track_caller]
fn assert_invalid(payload: Vec<u8>) {
    let ack = ack_of(payload);
    assert_eq!((ack.code(), ack.error()), (None, Some("invalid")), "{ack:?}");
}

#[test]
fn a_message_of_unknown_name_is_invalid() {
    assert_invalid(clean().named("check-something").encode());
    assert_invalid(clean().named("").encode());
}

#[test]
fn a_notify_without_a_message_is_invalid() {
    assert_invalid(Vec::new());
}

#[test]
fn a_message_that_ends_too_early_is_invalid() {
    let whole = clean().encode();
    for length in 1..whole.len() {
        assert_invalid(whole[..length].to_vec());
    }
}

#[test]
fn a_message_with_a_value_of_unknown_type_is_invalid() {
    let mut payload = clean().encode();
    let kind = payload.len() - 2;
    assert_eq!(payload[kind..], [9, 0], "the empty body ends the message");
    payload[kind] = 0x0F;
    assert_invalid(payload);
}

#[test]
fn a_message_with_too_few_unnamed_arguments_is_invalid() {
    assert_invalid(clean().unnamed(&EIGHT[..5]).encode());
    assert_invalid(Message::new(Vec::new()).encode());
}

#[test]
fn a_message_with_a_length_beyond_its_frame_is_invalid() {
    let mut payload = Vec::new();
    varint(&mut payload, u64::MAX);
    assert_invalid(payload);
    let mut payload = clean().encode();
    let length = payload.len() - 1;
    payload.truncate(length);
    varint(&mut payload, 4_000_000_000);
    assert_invalid(payload);
}

#[test]
fn a_request_without_a_method_is_invalid() {
    assert_invalid(clean().without(&["method"]).encode());
    assert_invalid(clean().with("method", Value::Null).encode());
}

#[test]
fn a_request_whose_headers_could_not_be_fetched_is_invalid() {
    assert_invalid(clean().with("headers", Value::Null).encode());
}

#[test]
fn a_query_without_a_path_is_never_clean() {
    let attack = Message::get("/", Some("deny=query"));
    for request in [attack.clone().without(&["path"]), attack.with("path", Value::Null)] {
        let ack = ack_of(request.encode());
        assert_ne!(ack.code(), Some(0), "the query is lost: {ack:?}");
    }
}

#[test]
fn a_misspelt_argument_is_invalid() {
    let mut request = clean();
    request.arguments.push(("bodyy".to_owned(), text("deny=body")));
    assert_invalid(request.encode());
}

#[test]
fn an_argument_given_twice_is_invalid() {
    let mut request = Message::get("/", Some("deny=query"));
    request.arguments.push(("query".to_owned(), text("a=1")));
    assert_invalid(request.encode());
}

#[test]
fn named_and_unnamed_arguments_together_are_invalid() {
    let mut request = clean();
    request.arguments[3].0.clear();
    assert_invalid(request.encode());
}

#[test]
fn a_zero_byte_that_would_hide_the_rest_is_invalid() {
    let attack = Message::get("/", Some("deny=query"));
    assert_invalid(attack.clone().with("path", text("/\0")).encode());
    assert_invalid(attack.clone().with("query", text("a=\0&deny=query")).encode());
    assert_invalid(attack.with("method", text("GET\0")).encode());
}

#[test]
fn headers_that_end_too_early_are_invalid() {
    assert_invalid(clean().with("headers", Value::Binary(vec![4, b'h', b'o'])).encode());
}

#[test]
fn an_argument_of_the_wrong_type_is_never_clean() {
    for (name, value) in
        [("method", Value::Bool(true)), ("path", Value::Int64(7)), ("query", Value::Bool(false))]
    {
        let ack = ack_of(clean().with(name, value).encode());
        assert_eq!((ack.code(), ack.error()), (None, Some("invalid")), "{name}: {ack:?}");
    }
}

#[test]
fn whatever_byte_of_a_notify_is_changed_it_is_answered() {
    let whole = Message::get("/", Some("deny=query")).encode();
    let mut link = agent().link();
    for at in 0..whole.len() {
        for change in [0x01, 0x0F, 0x10, 0x80, 0xFF] {
            let mut payload = whole.clone();
            payload[at] ^= change;
            link.send(&Frame::new(NOTIFY, 1, 1, payload));
            let answer =
                link.receive().unwrap_or_else(|| panic!("no answer when byte {at} is ^ {change:#04x}"));
            assert_eq!((answer.kind, answer.stream, answer.id), (ACK, 1, 1), "byte {at} ^ {change:#04x}");
        }
    }
    assert_eq!(agent().log.lines_with("panic"), Vec::<String>::new());
}

#[test]
fn two_messages_in_one_notify_get_one_ack_that_hides_no_attack() {
    let attack = Message::get("/", Some("deny=query"));
    for pair in [[clean(), attack.clone()], [attack, clean()]] {
        let ack = ack_of([pair[0].encode(), pair[1].encode()].concat());
        assert_ne!(ack.code(), Some(0), "{ack:?}");
        assert!(ack.code().is_some() || ack.error().is_some(), "{ack:?}");
    }
}

#[test]
fn on_error_deny_gives_uninspected_requests_a_code() {
    for (option, code) in [("deny", 503), ("deny=418", 418)] {
        let agent = Agent::with_rules(RULES, &["--on-error", option]);
        let mut link = agent.link();
        let ack = link.ask(&clean().named("check-something"));
        assert_eq!((ack.code(), ack.error()), (Some(code), Some("invalid")), "--on-error {option}");
        assert_eq!(link.ask(&clean()).code(), Some(0), "--on-error {option}");
    }
}

#[test]
fn on_error_unset_leaves_the_code_unset() {
    let agent = Agent::with_rules(RULES, &["--on-error", "unset"]);
    let ack = agent.link().ask(&clean().named("check-something"));
    assert_eq!((ack.code(), ack.error()), (None, Some("invalid")));
}

#[test]
fn an_invalid_request_is_logged() {
    // An agent of its own: such lines are limited to one a second.
    let agent = Agent::with_rules(RULES, &[]);
    agent.link().ask(&clean().without(&["method"]));
    let line = agent.log.wait_for_text("request not inspected, error: invalid, ");
    assert!(line.contains(" WARN ") && line.contains("method"), "{line}");
}
