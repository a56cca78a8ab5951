//! Is a request that comes in fragments inspected whole, is every misuse of fragments told with its code, and is no more
//! kept of them than is allowed?

use crate::support::agent::Agent;
use crate::support::spop::{Ack, Link, Message};
use crate::support::wire::{ABORT, ACK, FIN, Frame, NOTIFY, UNSET, Value, headers, text};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS:deny "@streq this" "id:1,phase:2,deny,status:471"
"#;

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| Agent::with_rules(RULES, &[]))
}

fn clean() -> Message {
    Message::get("/", None)
}

/// A form with so many bytes of padding, and then one more field.
fn form(padding: usize, last: &str) -> Message {
    let body = format!("a={}&deny={last}", "x".repeat(padding));
    let fields = [("host", "shop.test"), ("content-type", "application/x-www-form-urlencoded")];
    clean()
        .with("method", text("POST"))
        .with("headers", headers(&fields))
        .with("body-size", Value::Int64(body.len() as i64))
        .with("body", Value::Binary(body.into_bytes()))
}

/// The frames of a request that is cut into pieces of this size.
fn fragments(request: &Message, stream: u64, size: usize) -> Vec<Frame> {
    let payload = request.encode();
    let count = payload.len().div_ceil(size);
    let frame = |(index, piece): (usize, &[u8])| {
        let kind = if index == 0 { NOTIFY } else { UNSET };
        let flags = if index + 1 == count { FIN } else { 0 };
        Frame::new(kind, stream, 1, piece.to_vec()).flags(flags)
    };
    payload.chunks(size).enumerate().map(frame).collect()
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::encode).collect()
}

fn ask(link: &mut Link, request: &Message, stream: u64, size: usize) -> Ack {
    link.send_bytes(&bytes(&fragments(request, stream, size)));
    let ack = link.expect_ack();
    assert_eq!((ack.stream, ack.frame), (stream, 1));
    ack
}

/// Checks that nothing else was answered.
fn assert_silent(mut link: Link) {
    link.say_goodbye();
    assert_eq!(link.expect_farewell().code, 0);
}

#[test]
fn a_request_in_fragments_is_inspected_to_its_end() {
    let mut link = agent().link();
    let mut stream = 0;
    for size in [16_000, 9_999, 500, 37] {
        for (last, code) in [("that", 0), ("this", 471)] {
            let ack = ask(&mut link, &form(100_000, last), stream, size);
            assert_eq!((ack.code(), ack.error()), (Some(code), None), "in pieces of {size}: {ack:?}");
            assert_eq!(ack.get("truncated"), Some(&Value::Bool(false)));
            stream += 2;
        }
    }
    assert_silent(link);
}

#[test]
fn a_request_cut_at_any_byte_is_the_same_request() {
    let mut link = agent().link();
    for size in 1..form(0, "this").encode().len() {
        assert_eq!(ask(&mut link, &form(0, "this"), 5, size).code(), Some(471), "in pieces of {size}");
    }
}

#[test]
fn whole_and_fragmented_requests_take_turns() {
    let mut link = agent().link();
    let mut all = Vec::new();
    for stream in 0..20 {
        if stream % 2 == 0 {
            all.extend(fragments(&form(40_000, "this"), stream, 16_000));
        } else {
            all.push(clean().notify(stream, 1));
        }
    }
    link.send_bytes(&bytes(&all));
    let mut codes: Vec<_> = (0..20)
        .map(|_| {
            let ack = link.expect_ack();
            (ack.stream, ack.code())
        })
        .collect();
    codes.sort_unstable();
    let expected = |stream| (stream, Some(if stream % 2 == 0 { 471 } else { 0 }));
    assert_eq!(codes, (0..20).map(expected).collect::<Vec<_>>());
    assert_silent(link);
}

#[test]
fn a_payload_that_haproxy_aborts_gets_no_answer() {
    let mut link = agent().link();
    let mut frames = fragments(&form(40_000, "this"), 1, 16_000);
    frames.truncate(2);
    frames.push(Frame::new(UNSET, 1, 1, Vec::new()).flags(FIN | ABORT));
    link.send_bytes(&bytes(&frames));
    assert_eq!(ask(&mut link, &form(40_000, "this"), 3, 16_000).code(), Some(471));
    assert_silent(link);
}

#[test]
fn misuse_of_fragments_has_its_code() {
    let two = fragments(&clean(), 1, 200);
    assert_eq!(two.len(), 2);
    let (first, last) = (two[0].clone(), two[1].clone());
    let other = |frame: &Frame| Frame { stream: 3, ..frame.clone() };
    let hello = crate::support::spop::hello_frame(crate::support::spop::hello());
    let cases: Vec<(&str, Vec<Frame>, i64)> = vec![
        ("a fragment without a notify", vec![last.clone()], 11),
        ("one after the last", vec![first.clone(), last.clone(), last.clone()], 11),
        ("one of another stream", vec![first.clone(), other(&last)], 11),
        ("one of another frame", vec![first.clone(), Frame { id: 2, ..last.clone() }], 11),
        ("a notify in between", vec![first.clone(), other(&first)], 11),
        ("a whole notify in between", vec![first.clone(), clean().notify(3, 1)], 11),
        ("the same notify once more", vec![first.clone(), first.clone()], 11),
        ("ABORT without FIN", vec![first.clone(), last.clone().flags(ABORT)], 4),
        ("a hello in between", vec![first.clone(), hello.clone()], 4),
        ("a disconnect in fragments", vec![Frame::new(2, 0, 0, Vec::new()).flags(0)], 10),
        ("an abort of nothing", vec![Frame::new(UNSET, 1, 1, Vec::new()).flags(FIN | ABORT)], 11),
    ];
    for (what, frames, code) in cases {
        let mut link = agent().link();
        link.send_bytes(&bytes(&frames));
        let mut answer = link.expect();
        if what == "one after the last" && answer.kind == ACK {
            answer = link.expect();
        }
        let items = crate::support::wire::Reader(&answer.payload).pairs();
        assert_eq!(items[0], ("status-code".to_owned(), Value::Uint32(code as u32)), "{what}");
        assert_eq!(link.receive(), None, "{what}");
    }
    let mut link = agent().connect();
    link.send(&hello.flags(0));
    assert_eq!(link.expect_farewell().code, 10);
}

#[test]
fn fragments_are_refused_with_10_when_they_are_not_announced() {
    let agent = Agent::with_rules(RULES, &["--capability", "pipelining"]);
    for frame in fragments(&clean(), 1, 200) {
        let mut link = agent.link();
        link.send(&frame);
        assert_eq!(link.expect_farewell().code, 10, "{frame:?}");
    }
}

#[test]
fn a_request_that_is_too_large_is_told_so_once_and_the_link_goes_on() {
    let agent = Agent::with_rules(RULES, &["--max-payload", "50000"]);
    let mut link = agent.link();
    assert_eq!(ask(&mut link, &form(49_000, "this"), 1, 16_000).code(), Some(471));
    for padding in [51_000, 1_000_000] {
        let ack = ask(&mut link, &form(padding, "that"), 3, 16_000);
        assert_eq!((ack.code(), ack.error()), (None, Some("too-large")), "{ack:?}");
    }
    assert_eq!(ask(&mut link, &form(49_000, "this"), 5, 16_000).code(), Some(471));
    assert_silent(link);
    let line = agent.log.wait_for_text("request not inspected, error: too-large, ");
    assert!(line.contains(" WARN "), "{line}");
}

#[test]
fn fragments_that_are_too_many_in_all_are_told_so_and_taken_again_later() {
    // Each waits for a worker and keeps its 16384 bytes until it has its answer; 64 times as many are allowed.
    let options = ["--max-payload", "16384", "-n", "1", "-t", "50ms"];
    let agent = Agent::with_rules(RULES, &options);
    let mut link = agent.link();
    let frames: Vec<Frame> =
        (0..100).flat_map(|stream| fragments(&form(12_000, "this"), stream, 10_000)).collect();
    link.send_bytes(&bytes(&frames));
    let mut answers: Vec<_> = (0..100)
        .map(|_| {
            let ack = link.expect_ack();
            (ack.stream, ack.code(), ack.error().map(str::to_owned))
        })
        .collect();
    answers.sort();
    for (stream, code, error) in &answers[..64] {
        assert_eq!((*code, error.as_deref()), (Some(471), None), "stream {stream}");
    }
    let refused = (None, Some("overload".to_owned()));
    assert!(answers[64..].iter().any(|(_, code, error)| (*code, error.clone()) == refused), "{answers:?}");
    assert_eq!(ask(&mut link, &form(12_000, "this"), 1, 10_000).code(), Some(471));
    assert_silent(link);
}

/// An ACK with FIN and ABORT, and what it says in `error`.
fn expect_abort(link: &mut Link) -> Option<String> {
    let frame = link.expect();
    assert_eq!((frame.kind, frame.flags), (ACK, FIN | ABORT), "{frame:?}");
    Ack::read(&frame.flags(FIN)).error().map(str::to_owned)
}

#[test]
fn a_payload_that_is_never_finished_is_answered_at_its_deadline_and_costs_the_link() {
    let agent = Agent::with_rules(RULES, &["--deadline", "1s"]);
    let mut link = agent.link();
    link.send(&fragments(&form(40_000, "this"), 7, 16_000)[0]);
    assert_eq!(expect_abort(&mut link).as_deref(), Some("timeout"));
    assert_eq!(link.expect_farewell().code, 2);
    agent.log.wait_for_text("request not inspected, error: timeout, cause: the last fragment did not come");
}

#[test]
fn a_payload_that_is_unfinished_at_the_end_of_the_agent_is_answered() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    link.send_bytes(&bytes(&[clean().notify(5, 1), fragments(&form(40_000, "this"), 7, 16_000)[0].clone()]));
    assert_eq!(link.expect_ack().stream, 5);
    agent.signal("TERM");
    let start = Instant::now();
    assert_eq!(expect_abort(&mut link).as_deref(), Some("shutdown"));
    assert_eq!(link.expect_farewell().code, 0);
    assert!(start.elapsed() < Duration::from_secs(4), "it was given the 5 s of a request at an engine");
    assert_eq!(agent.stop_status(), Some(0));
}
