//! The payload of a NOTIFY, to a request or a response, and what is answered and logged of it.

#![no_main]

use actors::spop::reader::Reader;
use actors::spop::{Actions, Messages, Value};
use actors::{Failure, FailureKind};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use modsecurity_spoa::message::HttpMessage;
use modsecurity_spoa::message::answer::{OnError, Policy, answer};
use modsecurity_spoa::message::decode::{dialect, read};
use modsecurity_spoa::message::dialect::{Convention, Dialect};
use modsecurity_spoa::message::quoted::Quoted;
use modsecurity_spoa::message::verdict::Verdict;

const ID: &str = "0123456789abcdef0123456789abcdef";

/// The messages of this agent and of those in whose place it works.
const NAMES: [&[u8]; 5] = [b"check-request", b"check-response", b"coraza-req", b"coraza-res", b"modsecurity"];

fuzz_target!(|data: &[u8]| {
    let payload = Bytes::copy_from_slice(data);
    let (speaks, read) = read(&payload, ID.to_owned());
    // A payload in fragments is answered by its first, of which more may not have come. It has the name, at least.
    let first = Reader::new(data).bytes("a name").is_ok_and(|name| NAMES.contains(&name));
    if let (true, Some(half)) = (first, data.get(..data.len() / 2).filter(|half| half.len() > 16)) {
        let guess = dialect(half);
        assert!(read.is_err() || guess == speaks, "{guess:?}, {speaks:?}");
    }
    let failure = match read {
        Ok(message) => {
            check(&message, data.len());
            assert_eq!(dialect(&payload), speaks);
            assert_eq!(matches!(message, HttpMessage::Request(_)), speaks.is_request);
            answers(speaks, Some(&message), &Failure::new(FailureKind::Timeout, ""));
            assert_clean(
                &answer(speaks, Some(&message), Ok(&Verdict::default()), &Policy::default()).into_payload(),
            );
            return;
        }
        Err(failure) => failure,
    };
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_printable(&failure.cause);
    assert!(failure.cause.len() < 2048, "{} bytes of log for a bad message", failure.cause.len());
    answers(speaks, None, &failure);
});

fn check(message: &HttpMessage, len: usize) {
    let ours = Messages::new(message.payload()).filter(|found| NAMES.contains(&found.as_ref().unwrap().name));
    assert_eq!(ours.count(), 1);
    let (version, headers, body) = match message {
        HttpMessage::Request(request) => {
            assert!(!request.method.is_empty() && !request.method.contains(&0));
            assert!(!request.uri.contains(&0) && request.uri.len() <= len.max(1));
            assert!(request.unique_id.as_ref().is_none_or(|id| id.iter().all(u8::is_ascii_graphic)));
            assert_printable(&Quoted(&request.uri).to_string());
            assert_printable(&request.client.to_string());
            assert!(request.ignored_rules.len() * 2 <= len);
            (&request.version, &request.headers, &request.body)
        }
        HttpMessage::Response(response) => {
            assert!(response.transaction.as_ref().is_none_or(|id| id.iter().all(u8::is_ascii_graphic)));
            if let Some(ticket) = response.ticket() {
                assert_eq!(response.transaction.as_deref(), Some(ticket.to_string().as_bytes()));
            }
            (&response.version, &response.headers, &response.body)
        }
    };
    assert!(!version.contains(&0));
    assert_eq!(headers.check(), Ok(()));
    assert!(body.len() <= len && message.application().unwrap_or_default().len() <= len);
    assert_eq!(message.fingerprint(), message.clone().fingerprint());
}

/// Nobody inspected it: `error` is set as its dialect has it, and `code` is not set, or denies.
fn answers(dialect: Dialect, message: Option<&HttpMessage>, failure: &Failure) {
    for on_error in [OnError::Unset, OnError::Deny(503)] {
        let policy = Policy { name: "agent".to_owned(), on_error, block_page: None };
        let actions = answer(dialect, message, Err(failure), &policy).into_payload();
        let all = variables(actions.within(usize::MAX));
        // They are not among what may be left out.
        assert!(
            ["code", "error"]
                .iter()
                .all(|name| last(&variables(actions.within(0)), name) == last(&all, name))
        );
        let code = if on_error == OnError::Unset { None } else { Some(Value::Int32(503)) };
        assert_eq!(last(&all, "code"), code);
        match (dialect.convention, last(&all, "error")) {
            (Convention::ModSecurity, Some(Value::String(word))) => {
                assert_eq!(word, failure.kind.as_str().as_bytes());
            }
            (Convention::Coraza, Some(Value::Int32(1..))) => {}
            (convention, other) => panic!("{convention:?}: {other:?}"),
        }
    }
}

/// It was inspected and is clean: so says `code`, and `error` is not set.
fn assert_clean(actions: &Actions) {
    let all = variables(actions.within(0));
    assert_eq!((last(&all, "code"), last(&all, "error")), (Some(Value::Int32(0)), None));
    assert_eq!(last(&all, "action"), Some(Value::String(b"allow")));
}

type Variable<'a> = (&'a [u8], Option<Value<'a>>);

/// What actions do: a name and the value that it gets, or none where it is removed.
fn variables(actions: &[u8]) -> Vec<Variable<'_>> {
    let (mut reader, mut found) = (Reader::new(actions), Vec::new());
    while !reader.is_empty() {
        let head = [(); 3].map(|()| reader.byte("an action").unwrap());
        let name = reader.bytes("a name").unwrap();
        let value = match head {
            [1, 3, 2] => Some(reader.value("a value").unwrap()),
            [2, 2, 2] => None,
            other => panic!("action {other:?}"),
        };
        found.push((name, value));
    }
    found
}

/// What a variable is after all of them.
fn last<'a>(variables: &[Variable<'a>], name: &str) -> Option<Value<'a>> {
    variables.iter().rev().find(|(found, _)| *found == name.as_bytes()).and_then(|(_, value)| *value)
}

fn assert_printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
