//! The payload of a NOTIFY, to a request or a response, and what is answered and logged of it.

#![no_main]

use actors::spop::{Actions, Messages};
use actors::{Failure, FailureKind};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use modsecurity_spoa::engine::answer::{Policy, answer};
use modsecurity_spoa::engine::decode::decode;
use modsecurity_spoa::engine::http_message::HttpMessage;
use modsecurity_spoa::engine::text::Text;

const ID: &str = "0123456789abcdef0123456789abcdef";

fuzz_target!(|data: &[u8]| {
    let payload = Bytes::copy_from_slice(data);
    let failure = match decode(&payload, ID.to_owned()) {
        Ok(message) => {
            check(&message, data.len());
            let failure = Failure::new(FailureKind::Timeout, "");
            assert_uninspected(&answer(Some(&message), Err(&failure), &Policy::default()).into_payload());
            return;
        }
        Err(failure) => failure,
    };
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_printable(&failure.cause);
    assert!(failure.cause.len() < 2048, "{} bytes of log for a bad message", failure.cause.len());
    assert_uninspected(&answer(None, Err(&failure), &Policy::default()).into_payload());
});

fn check(message: &HttpMessage, len: usize) {
    let is_ours = |name: &[u8]| matches!(name, b"check-request" | b"check-response" | b"coraza-res");
    let ours = Messages::new(message.payload()).filter(|found| is_ours(found.as_ref().unwrap().name));
    assert_eq!(ours.count(), 1);
    let (version, headers, body) = match message {
        HttpMessage::Request(request) => {
            assert!(!request.method.is_empty() && !request.method.contains(&0));
            assert!(!request.uri.contains(&0) && request.uri.len() <= len);
            assert!(request.unique_id.as_ref().is_none_or(|id| id.iter().all(u8::is_ascii_graphic)));
            assert_printable(&Text(&request.uri).to_string());
            assert_printable(&request.client.to_string());
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
    assert!(body.len() <= len);
    assert_eq!(message.fingerprint(), message.clone().fingerprint());
}

/// Nobody inspected it: `error` is set, and `code` is not set to 0.
fn assert_uninspected(actions: &Actions) {
    let bytes = actions.within(usize::MAX);
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(has(b"\x01\x03\x02\x05error\x08"), "{}", bytes.escape_ascii());
    assert!(!has(b"\x01\x03\x02\x04code"), "{}", bytes.escape_ascii());
}

fn assert_printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
