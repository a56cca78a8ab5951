//! Whether the log may show the data of a match at level info: not what a rule quotes of a body, of cookies or of
//! credentials.
//!
//! Engines do not say which part of a message the `logdata` of a rule quotes, but most rules do, as those of the Core Rule
//! Set: `found within ARGS:id: …`. What names no part is shown only for a message that has nothing to hide.

use crate::message::HttpMessage;
use crate::message::request::Request;

/// Headers whose values are secrets.
const SECRET: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie"];

/// Stands before the name of the variable that matched.
const WITHIN: &[u8] = b"found within ";

/// Variables that hold neither body nor headers.
const PUBLIC: [&str; 11] = [
    "REQUEST_URI",
    "REQUEST_URI_RAW",
    "REQUEST_FILENAME",
    "REQUEST_BASENAME",
    "REQUEST_METHOD",
    "REQUEST_PROTOCOL",
    "QUERY_STRING",
    "ARGS_GET",
    "ARGS_GET_NAMES",
    "REMOTE_ADDR",
    "RESPONSE_STATUS",
];

/// Variables of the query and of the body.
const ARGUMENTS: [&str; 2] = ["ARGS", "ARGS_NAMES"];

/// Whether the log may show this data of a match at level info.
pub(super) fn is_public(message: &HttpMessage, data: &[u8]) -> bool {
    if data.is_empty() {
        return true;
    }
    let request = match message {
        HttpMessage::Request(request) => Some(request),
        // What the rules of a response quote may be of its request, too.
        HttpMessage::Response(_) => None,
    };
    let has_body = request.is_none_or(has_body);
    let hides_nothing = |request: &Request| !SECRET.iter().any(|name| request.headers.first(name).is_some());
    if !has_body && request.is_some_and(hides_nothing) {
        return true;
    }
    let Some((variable, part)) = variable(data) else { return false };
    let is = |names: &[&str]| names.iter().any(|name| variable.eq_ignore_ascii_case(name.as_bytes()));
    let is_header = is(&["REQUEST_HEADERS", "RESPONSE_HEADERS"]);
    is(&PUBLIC)
        || (!has_body && is(&ARGUMENTS))
        || (is_header
            && !part.is_empty()
            && !SECRET.iter().any(|name| part.eq_ignore_ascii_case(name.as_bytes())))
}

fn has_body(request: &Request) -> bool {
    !request.body.is_empty() || request.truncated
}

/// The variable that the data is of, and the part of it: `ARGS` and `id`.
fn variable(data: &[u8]) -> Option<(&[u8], &[u8])> {
    // A client may write these words itself, but then it can only show what
    // it has sent itself.
    let start = data.windows(WITHIN.len()).position(|window| window == WITHIN)? + WITHIN.len();
    let rest = data.get(start..)?;
    let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
    let name = rest.get(..end)?;
    let name = name.strip_suffix(b":").unwrap_or(name);
    let mut parts = name.splitn(2, |byte| *byte == b':');
    Some((parts.next()?, parts.next().unwrap_or_default()))
}
