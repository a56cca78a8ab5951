//! Is a request that nobody could inspect always answered, never called clean, and treated as `--on-error` says?
//!
//! Which requests those are, the battery has, case by case: names, counts, types, lengths, zero bytes.

use crate::support::agent::Agent;
use crate::support::spop::Message;
use crate::support::wire::{ACK, Frame, NOTIFY};
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
