//! Bodies of which HAProxy sent only the beginning.
//!
//! The engine reads forms, JSON and XML as far as they go, but ignores a multipart body without its closing delimiter.
//! So a delimiter is appended to a multipart body that was cut.

use std::borrow::Cow;

/// The body as the engine can read it: a multipart body is closed after its last part that has whole headers.
pub(super) fn readable<'a>(content_type: Option<&[u8]>, body: &'a [u8]) -> Cow<'a, [u8]> {
    let Some(boundary) = content_type.and_then(boundary) else { return body.into() };
    let delimiter = [b"--", boundary].concat();
    let Some(last) = last_line_beginning_with(body, &delimiter) else { return body.into() };
    let part = body.get(last..).unwrap_or_default();
    // A part whose headers were cut is left out.
    let (whole, line_end) = match has_headers(part) {
        true => (body, &b"\r\n"[..]),
        false => (body.get(..last).unwrap_or_default(), &b""[..]),
    };
    [whole, line_end, &delimiter, b"--\r\n"].concat().into()
}

/// The boundary of a multipart body (RFC 2046, section 5.1.1).
fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    let is_multipart = content_type.trim_ascii_start().get(..10)?.eq_ignore_ascii_case(b"multipart/");
    let name = b"boundary=";
    let at = content_type.windows(name.len()).position(|word| word.eq_ignore_ascii_case(name))?;
    let value = content_type.get(at + name.len()..)?;
    let boundary = match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|&byte| byte == b'"').next()?,
        None => value.split(|&byte| byte == b';' || byte == b',').next()?.trim_ascii_end(),
    };
    (is_multipart && !boundary.is_empty()).then_some(boundary)
}

fn last_line_beginning_with(body: &[u8], delimiter: &[u8]) -> Option<usize> {
    let is_line_start = |at: usize| at == 0 || body.get(at - 1) == Some(&b'\n');
    let starts = body.windows(delimiter.len()).enumerate().rev();
    starts.filter(|(at, word)| *word == delimiter && is_line_start(*at)).map(|(at, _)| at).next()
}

/// Whether the empty line between headers and content is there.
fn has_headers(part: &[u8]) -> bool {
    part.windows(4).any(|bytes| bytes == b"\r\n\r\n") || part.windows(2).any(|bytes| bytes == b"\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=xy";

    fn end(body: &[u8]) -> Vec<u8> {
        readable(Some(TYPE), body).into_owned()
    }

    #[test]
    fn a_part_that_was_cut_ends() {
        assert_eq!(end(b"--xy\r\nA: b\r\n\r\nhal"), b"--xy\r\nA: b\r\n\r\nhal\r\n--xy--\r\n");
        assert_eq!(end(b"--xy\r\nA: b\r\n\r\nhal\r\n--x"), b"--xy\r\nA: b\r\n\r\nhal\r\n--x\r\n--xy--\r\n");
    }

    #[test]
    fn a_part_whose_headers_were_cut_is_none() {
        let whole = &b"--xy\r\nA: b\r\n\r\nall\r\n"[..];
        for cut in ["--xy", "--xy\r\n", "--xy\r\nA: b", "--xy\r\nA: b\r\n", "--xy--"] {
            assert_eq!(end(&[whole, cut.as_bytes()].concat()), [whole, b"--xy--\r\n"].concat(), "{cut}");
        }
    }

    #[test]
    fn other_bodies_stay_as_they_are() {
        let body = b"--xy\r\nA: b\r\n\r\nhal";
        for other in [
            None,
            Some(&b"text/plain; boundary=xy"[..]),
            Some(b"multipart/form-data"),
            Some(b"multipart/x; boundary="),
        ] {
            assert_eq!(readable(other, body), &body[..]);
        }
        assert_eq!(end(b"no delimiter"), b"no delimiter");
    }

    #[test]
    fn boundaries() {
        assert_eq!(boundary(b"Multipart/Mixed; BOUNDARY=\"a b\"; x=y"), Some(&b"a b"[..]));
        assert_eq!(boundary(b"multipart/mixed; boundary=ab ; x=y"), Some(&b"ab"[..]));
    }
}
