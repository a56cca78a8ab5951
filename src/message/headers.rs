//! A request's headers, as HAProxy sends them in one argument: `req.hdrs_bin` or `req.hdrs`.
//!
//! Both forms are checked to their last byte before a request is inspected: a list that silently ended early would hide
//! the headers behind its end.

use std::fmt;

use actors::spop::reader::Reader;
use bytes::Bytes;

/// A list of headers, in the form in which HAProxy sent it.
#[derive(Clone, Debug, Default)]
pub enum Headers {
    /// HAProxy sent no list.
    #[default]
    None,
    /// `req.hdrs_bin`: length and name, length and value, …, ended by two empty strings.
    Binary(Bytes),
    /// `req.hdrs`: lines of `name: value`, ended by an empty one.
    Text(Bytes),
}

/// Why a list of headers cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeaders {
    /// The list ends within a header, or without its end mark.
    Truncated,
    /// More bytes follow the end mark of the list.
    Trailing,
    /// A header has no name.
    NoName,
    /// A line has no colon.
    NoColon,
}

impl fmt::Display for BadHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the header list is not whole",
            Self::Trailing => "bytes follow the end of the header list",
            Self::NoName => "a header has no name",
            Self::NoColon => "a header line has no colon",
        })
    }
}

impl std::error::Error for BadHeaders {}

impl Headers {
    /// Reads the whole list to check it.
    ///
    /// # Errors
    /// The first flaw of the list.
    pub fn check(&self) -> Result<(), BadHeaders> {
        self.iter().try_for_each(|header| header.map(drop))
    }

    /// Iterates over the headers in order, as pairs of name and value; ends after the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<(&[u8], &[u8]), BadHeaders>> {
        let mut rest = match self {
            Self::None => Rest::Done,
            Self::Binary(list) => Rest::Binary(Reader::new(list)),
            Self::Text(list) => Rest::Text(list),
        };
        std::iter::from_fn(move || {
            let step = match &mut rest {
                Rest::Done => Ok(None),
                Rest::Binary(reader) => next_binary(reader),
                Rest::Text(lines) => next_line(lines),
            };
            if !matches!(step, Ok(Some(_))) {
                rest = Rest::Done;
            }
            step.transpose()
        })
    }

    /// The value of the first header with this name, in whatever case.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let found = self.iter().filter_map(Result::ok);
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value).next()
    }
}

/// The part of a list that is still to be read.
enum Rest<'a> {
    Binary(Reader<'a>),
    Text(&'a [u8]),
    Done,
}

/// The name and the value of a header.
type Header<'a> = (&'a [u8], &'a [u8]);

/// Reads the next header of a binary list; `None` at the end mark.
fn next_binary<'a>(reader: &mut Reader<'a>) -> Result<Option<Header<'a>>, BadHeaders> {
    let mut part = || reader.bytes("a header").map_err(|_| BadHeaders::Truncated);
    let (name, value) = (part()?, part()?);
    match (name.is_empty(), value.is_empty()) {
        (false, _) => Ok(Some((name, value))),
        (true, false) => Err(BadHeaders::NoName),
        (true, true) if reader.is_empty() => Ok(None),
        (true, true) => Err(BadHeaders::Trailing),
    }
}

/// Reads the next header of a list in text; `None` at the empty line that ends it.
fn next_line<'a>(lines: &mut &'a [u8]) -> Result<Option<Header<'a>>, BadHeaders> {
    let end = lines.iter().position(|&byte| byte == b'\n').ok_or(BadHeaders::Truncated)?;
    let (line, rest) = lines.split_at(end);
    let rest = rest.get(1..).unwrap_or_default();
    *lines = rest;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return if rest.is_empty() { Ok(None) } else { Err(BadHeaders::Trailing) };
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or(BadHeaders::NoColon)?;
    let (name, value) = line.split_at(colon);
    if name.is_empty() {
        return Err(BadHeaders::NoName);
    }
    Ok(Some((name, value.get(1..).unwrap_or_default().trim_ascii_start())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &Headers) -> Result<Vec<Header<'_>>, BadHeaders> {
        headers.iter().collect()
    }

    #[test]
    fn a_binary_list_from_its_bytes() {
        let headers = Headers::Binary(Bytes::from_static(b"\x04host\x01a\x01x\x00\x01x\x02\xff\n\x00\x00"));
        let expected: Vec<Header<'_>> = vec![(b"host", b"a"), (b"x", b""), (b"x", b"\xff\n")];
        assert_eq!(read(&headers), Ok(expected));
        assert_eq!(headers.first("Host"), Some(&b"a"[..]));
    }

    #[test]
    fn a_header_above_64_kib_does_not_end_the_list() {
        let mut list = b"\x01a".to_vec();
        actors::spop::varint::encode(100_000, &mut list);
        list.extend(vec![b'v'; 100_000]);
        list.extend(b"\x01b\x01c\x00\x00");
        assert_eq!(read(&Headers::Binary(list.into())).unwrap().len(), 2);
    }

    #[test]
    fn a_list_that_is_cut_or_goes_on_is_an_error() {
        let binary = |list: &'static [u8]| Headers::Binary(Bytes::from_static(list)).check();
        assert_eq!(binary(b"\x04host\x01a"), Err(BadHeaders::Truncated));
        assert_eq!(binary(b"\x04host\x09a\x00\x00"), Err(BadHeaders::Truncated));
        assert_eq!(binary(b""), Err(BadHeaders::Truncated));
        assert_eq!(binary(b"\x00\x00\x01a\x01b\x00\x00"), Err(BadHeaders::Trailing));
        assert_eq!(binary(b"\x00\x01b\x00\x00"), Err(BadHeaders::NoName));
    }

    #[test]
    fn text_lines() {
        let headers = Headers::Text(Bytes::from_static(b"Host: a\r\nX:\r\nCookie:  b: c \r\n\r\n"));
        let expected: Vec<Header<'_>> = vec![(b"Host", b"a"), (b"X", b""), (b"Cookie", b"b: c ")];
        assert_eq!(read(&headers), Ok(expected));
        let text = |list: &'static [u8]| Headers::Text(Bytes::from_static(list)).check();
        assert_eq!(text(b"Host: a\r\n"), Err(BadHeaders::Truncated));
        assert_eq!(text(b"Host\r\n\r\n"), Err(BadHeaders::NoColon));
        assert_eq!(text(b"\r\nHost: a\r\n\r\n"), Err(BadHeaders::Trailing));
    }
}
