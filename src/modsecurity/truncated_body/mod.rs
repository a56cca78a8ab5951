//! Bodies of which HAProxy sent only the beginning.
//!
//! A parser would refuse them for want of an end. So one is added: the shortest ending that makes a whole of a body that
//! was valid as far as it came. Strings, arrays, objects, elements and parts that were cut are closed, and their contents
//! are inspected like those before them.
//!
//! An ending is only ever added, and nothing of the body is left out or changed, except for half a unit of UTF-16. The
//! engine's parsers read from the front and stay with their first error, so a body with a fault before the cut is refused
//! like one that came whole.

mod characters;
mod form;
mod json;
mod multipart;
mod xml;

use std::borrow::Cow;
use std::ffi::CStr;

use crate::ffi::body_processor::BodyProcessor;

/// The name in `TX` under which rules see that a body was cut.
pub(super) const TRUNCATED: &CStr = c"body_truncated";

/// The body with an ending for the parser that the engine has chosen in phase 1.
pub(super) fn with_ending<'a>(
    processor: Option<BodyProcessor>,
    content_type: Option<&[u8]>,
    body: &'a [u8],
) -> Cow<'a, [u8]> {
    let body = if processor == Some(BodyProcessor::Xml) { xml::whole_units(body) } else { body };
    let ending = match processor {
        // No body at all is valid everywhere but in XML.
        Some(BodyProcessor::Multipart | BodyProcessor::Json) if body.is_empty() => Vec::new(),
        Some(BodyProcessor::UrlEncoded) => form::ending(body),
        Some(BodyProcessor::Json) => json::ending(body),
        Some(BodyProcessor::Xml) => xml::ending(body),
        Some(BodyProcessor::Multipart) => multipart::ending(content_type.unwrap_or_default(), body),
        None => Vec::new(),
    };
    match ending.is_empty() {
        true => body.into(),
        false => [body, &ending].concat().into(),
    }
}

/// Why a scan of a body has stopped.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The body was cut here. With this the innermost construct is whole.
    Cut(Vec<u8>),
    /// Whatever followed, the parser would refuse the body.
    Fault,
}

impl Stop {
    /// Adds what closes the construct around the one that was cut.
    fn then(self, closing: &[u8]) -> Self {
        match self {
            Self::Cut(ending) => Self::Cut([&ending, closing].concat()),
            Self::Fault => Self::Fault,
        }
    }
}

/// The body was cut, and lacks this.
fn cut<T>(missing: impl AsRef<[u8]>) -> Result<T, Stop> {
    Err(Stop::Cut(missing.as_ref().to_vec()))
}

/// A text, and how far it has been read.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.text.len());
    }

    /// Reads on while bytes are of a kind; gives them.
    fn take_while(&mut self, is_kind: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|&byte| !is_kind(byte)).unwrap_or(rest.len());
        self.skip(length);
        rest.get(..length).unwrap_or_default()
    }

    /// Reads a word: whether it is there. Where the text ends within the word, its rest is missing.
    fn word(&mut self, word: &[u8]) -> Result<bool, Stop> {
        let rest = self.rest();
        if rest.starts_with(word) {
            self.skip(word.len());
            return Ok(true);
        }
        match word.strip_prefix(rest) {
            Some(missing) => cut(missing),
            None => Ok(false),
        }
    }

    /// Reads on behind the next `end`; without one, what is missing of it.
    fn behind(&mut self, end: &[u8]) -> Result<(), Stop> {
        let rest = self.rest();
        match rest.windows(end.len()).position(|bytes| bytes == end) {
            Some(position) => {
                self.skip(position + end.len());
                Ok(())
            }
            None => {
                let begun = (1..end.len()).rev().find(|&length| rest.ends_with(end.split_at(length).0));
                cut(end.split_at(begun.unwrap_or(0)).1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "\\",
        "\\u00",
        "1",
        "-",
        ".",
        "e",
        "tru",
        "null",
        " ",
        "\n",
        "\r\n",
        "\r",
        "<",
        ">",
        "/",
        "/>",
        "</",
        "<a",
        "<a>",
        "</a>",
        "a",
        "b=",
        "'",
        "&",
        "&#",
        "&#x",
        ";",
        "<!",
        "<!--",
        "-->",
        "--",
        "<![CDATA[",
        "]]>",
        "<?",
        "?>",
        "<?xml ",
        "version",
        "encoding=",
        "<!DOCTYPE ",
        "SYSTEM ",
        "PUBLIC ",
        "<!ENTITY ",
        "% ",
        "<!ELEMENT ",
        "(",
        "|",
        ")",
        "*",
        "#PCDATA",
        "<!ATTLIST ",
        "#FIXED ",
        "NOTATION ",
        "<!NOTATION ",
        "NDATA ",
        "%",
        "--xy",
        "--xy\r\n",
        "--xy--",
        "Content-Disposition: ",
        "form-data",
        "; name=",
        "filename=",
        "\0",
        "\u{e9}",
        "\u{1f600}",
        "\u{feff}",
    ];

    #[test]
    fn whatever_comes_only_an_ending_is_added() {
        let mut state = 1_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % end
        };
        for _ in 0..100_000 {
            let mut body: Vec<u8> =
                (0..below(12)).flat_map(|_| PIECES[below(PIECES.len())].bytes()).collect();
            body.truncate(body.len().saturating_sub(below(4)));
            if below(8) == 0 {
                body = body.iter().flat_map(|byte| [*byte, 0]).collect();
            }
            for processor in
                [BodyProcessor::UrlEncoded, BodyProcessor::Multipart, BodyProcessor::Json, BodyProcessor::Xml]
            {
                let whole = with_ending(Some(processor), Some(b"multipart/form-data; boundary=xy"), &body);
                let kept = if processor == BodyProcessor::Xml { xml::whole_units(&body) } else { &body };
                assert!(
                    whole.starts_with(kept) && kept.len() + 1 >= body.len(),
                    "{processor:?}: {}",
                    body.escape_ascii()
                );
            }
            assert_eq!(with_ending(None, None, &body), body);
        }
    }
}
