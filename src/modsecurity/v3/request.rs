//! The phases of a request: 1 (headers) and 2 (body).

use std::ffi::CString;

use super::{failed, text};
use crate::ffi::intervention::Intervention;
use crate::ffi::v3::Transaction;
use crate::message::request::{Endpoint, Request};
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::library::{PLACEHOLDER_HEADERS, UNKNOWN_ADDRESS};
use crate::modsecurity::truncated_body::{TRUNCATED, with_ending};

/// Feeds the request to the library, phase by phase, and asks after each whether a rule intervenes.
///
/// # Errors
/// When the library throws an exception, the headers are malformed, or a text has a zero byte.
pub(super) fn phases(
    transaction: &mut Transaction,
    request: &Request,
) -> Result<Option<Intervention>, InspectionError> {
    // TX variables and exclusions before the first phase, as rules of every phase are to see them.
    if request.truncated {
        transaction.set_tx(TRUNCATED, c"1").map_err(failed)?;
    }
    for &rule in &request.ignored_rules {
        transaction.ignore_rule(rule).map_err(failed)?;
    }
    // msc_process_connection first: it sets REMOTE_ADDR, and rules of all phases look at addresses.
    let (client, server) = (address(request.client)?, address(request.server)?);
    transaction
        .process_connection((&client, request.client.port), (&server, request.server.port))
        .map_err(failed)?;
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    // msc_process_uri before the headers: rules of phase 1 read the URI and the arguments in it.
    let (uri, method, version) = (text(&request.uri)?, text(&request.method)?, text(&request.version)?);
    transaction.process_uri(&uri, &method, &version).map_err(failed)?;
    if let Some(path) = path_with_escaped_question_mark(&request.uri) {
        transaction.restore_path(&path).map_err(failed)?;
    }
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    // msc_add_request_header before msc_process_request_headers, which runs phase 1. Content-Type also selects the body
    // processor of phase 2.
    for header in request.headers.iter() {
        let (name, value) = header.map_err(|cause| InspectionError(cause.to_string()))?;
        transaction.add_request_header(name, value).map_err(failed)?;
    }
    transaction.process_request_headers().map_err(failed)?;
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    let body = match request.truncated {
        true => {
            let processor = transaction.body_processor().map_err(failed)?;
            with_ending(processor, request.headers.first("content-type"), &request.body)
        }
        false => request.body[..].into(),
    };
    // msc_append_request_body may intervene by itself, when the body is above SecRequestBodyLimit.
    if !body.is_empty() {
        transaction.append_request_body(&body).map_err(failed)?;
        if let Some(found) = transaction.intervention().map_err(failed)? {
            return Ok(Some(found));
        }
    }
    // msc_process_request_body also without a body: phase 2 runs in it.
    transaction.process_request_body().map_err(failed)?;
    transaction.intervention().map_err(failed)
}

/// The decoded path of a URI, if an escaped question mark is in the path. Before 3.0.12 msc_process_uri decodes the URI
/// before it splits off the query, and hides from rules on the path what stands behind that mark (CVE-2024-1019).
fn path_with_escaped_question_mark(uri: &[u8]) -> Option<Vec<u8>> {
    let path = uri.split(|byte| matches!(byte, b'?' | b'#')).next()?;
    let decoded =
        path.windows(3).any(|escape| escape.eq_ignore_ascii_case(b"%3f")).then(|| percent_decoded(path))?;
    // An escape may be escaped itself: `%%33f` has none that the library decodes to a question mark.
    decoded.contains(&b'?').then_some(decoded)
}

/// The bytes with each `%` and two hexadecimal digits replaced by the byte that they stand for, as the library does it.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, others @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        decoded.push(escaped.unwrap_or(*first));
        rest = escaped.and_then(|_| rest.get(3..)).unwrap_or(others);
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Takes a placeholder through phases 1 and 2, in the order of [`phases`], for a response whose request is not parked.
///
/// # Errors
/// When the library throws an exception.
pub(super) fn placeholder_request(transaction: &mut Transaction) -> Result<(), InspectionError> {
    let nobody = address(Endpoint::default())?;
    transaction.process_connection((&nobody, 0), (&nobody, 0)).map_err(failed)?;
    transaction.process_uri(c"/", c"GET", c"1.1").map_err(failed)?;
    for (name, value) in PLACEHOLDER_HEADERS {
        transaction.add_request_header(name.as_bytes(), value.as_bytes()).map_err(failed)?;
    }
    transaction.process_request_headers().map_err(failed)?;
    transaction.process_request_body().map_err(failed)?;
    // msc_intervention takes the intervention away, if there is one: no client has sent this request, and phases 3 and
    // 4 are to run.
    transaction.intervention().map_err(failed).map(drop)
}

/// The address of a client or server as text for the library.
fn address(end: Endpoint) -> Result<CString, InspectionError> {
    let address = end.address.map_or_else(|| UNKNOWN_ADDRESS.to_owned(), |address| address.to_string());
    text(address.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_question_marks_of_the_path() {
        let path =
            |uri: &[u8]| path_with_escaped_question_mark(uri).map(|path| String::from_utf8(path).unwrap());
        assert_eq!(path(b"/a%3Fb%2fc%3f"), Some("/a?b/c?".to_owned()));
        assert_eq!(path(b"/%3f%4"), Some("/?%4".to_owned()));
        assert_eq!(path(b"/a%3fb?c=%3F"), Some("/a?b".to_owned()));
        assert_eq!(path(b"/%253Fb"), None, "an escaped escape");
        assert_eq!(path(b"/a?b=%3F"), None, "in the query");
        assert_eq!(path(b"/a#%3F"), None, "in the fragment");
        assert_eq!(path(b"/%%3f"), Some("/%?".to_owned()));
    }
}
