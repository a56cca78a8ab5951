//! The ending of JSON (RFC 8259), as the engines' parser yajl reads it.

use super::characters::{rest_of_character, rest_of_hex};
use super::{Cursor, Stop, cut};

/// Returns the bytes that complete the text: none where the text is complete, and where nothing could complete it.
pub(super) fn ending(body: &[u8]) -> Vec<u8> {
    let mut scan = Scan { cursor: Cursor::new(body), open: Vec::new(), expects: Expects::Value };
    match scan.run() {
        Stop::Cut(token) => {
            let after = scan.expects.ending();
            token.into_iter().chain(after.iter().copied()).chain(scan.open.into_iter().rev()).collect()
        }
        Stop::Fault => Vec::new(),
    }
}

struct Scan<'a> {
    cursor: Cursor<'a>,
    /// The bytes that will close what is open, the outermost first.
    open: Vec<u8>,
    expects: Expects,
}

#[derive(Clone, Copy)]
enum Expects {
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    /// Or the end of what is open; nothing at all when nothing is.
    Comma,
}

impl Expects {
    /// Up to where what is open may be closed.
    fn ending(self) -> &'static [u8] {
        match self {
            Self::Value => b"null",
            Self::Key => b"\"\":null",
            Self::Colon => b":null",
            Self::ValueOrEnd | Self::KeyOrEnd | Self::Comma => b"",
        }
    }
}

impl Scan<'_> {
    fn run(&mut self) -> Stop {
        loop {
            if let Err(stop) = self.token() {
                return stop;
            }
        }
    }

    fn token(&mut self) -> Result<(), Stop> {
        use Expects::{Colon, Comma, Key, KeyOrEnd, Value, ValueOrEnd};
        self.cursor.take_while(|byte| matches!(byte, b'\t'..=b'\r' | b' '));
        let Some(byte) = self.cursor.peek() else { return cut("") };
        match (byte, self.expects) {
            (b'{', Value | ValueOrEnd) => {
                self.open.push(b'}');
                self.expects = KeyOrEnd;
            }
            (b'[', Value | ValueOrEnd) => {
                self.open.push(b']');
                self.expects = ValueOrEnd;
            }
            (b'}', KeyOrEnd | Comma) | (b']', ValueOrEnd | Comma) if self.open.last() == Some(&byte) => {
                self.open.pop();
                self.expects = Comma;
            }
            (b',', Comma) if !self.open.is_empty() => {
                self.expects = if self.open.last() == Some(&b'}') { Key } else { Value };
            }
            (b':', Colon) => self.expects = Value,
            (b'"', Value | ValueOrEnd) => {
                self.expects = Comma;
                return string(&mut self.cursor);
            }
            (b'"', Key | KeyOrEnd) => {
                self.expects = Colon;
                return string(&mut self.cursor);
            }
            (b'-' | b'0'..=b'9', Value | ValueOrEnd) => {
                self.expects = Comma;
                return number(&mut self.cursor);
            }
            (b't' | b'f' | b'n', Value | ValueOrEnd) => {
                self.expects = Comma;
                return literal(&mut self.cursor);
            }
            _ => return Err(Stop::Fault),
        }
        self.cursor.skip(1);
        Ok(())
    }
}

fn literal(cursor: &mut Cursor) -> Result<(), Stop> {
    for word in ["true", "false", "null"] {
        if cursor.word(word.as_bytes())? {
            return Ok(());
        }
    }
    Err(Stop::Fault)
}

fn number(cursor: &mut Cursor) -> Result<(), Stop> {
    if cursor.peek() == Some(b'-') {
        cursor.skip(1);
    }
    match cursor.peek() {
        // 01 is two numbers.
        Some(b'0') => cursor.skip(1),
        _ => digits(cursor)?,
    }
    if cursor.peek() == Some(b'.') {
        cursor.skip(1);
        digits(cursor)?;
    }
    if let Some(b'e' | b'E') = cursor.peek() {
        cursor.skip(1);
        if let Some(b'+' | b'-') = cursor.peek() {
            cursor.skip(1);
        }
        digits(cursor)?;
    }
    Ok(())
}

/// One digit at least.
fn digits(cursor: &mut Cursor) -> Result<(), Stop> {
    let none = cursor.take_while(|byte| byte.is_ascii_digit()).is_empty();
    match (none, cursor.peek()) {
        (false, _) => Ok(()),
        (true, None) => cut("0"),
        (true, Some(_)) => Err(Stop::Fault),
    }
}

/// From its first quote to its last.
fn string(cursor: &mut Cursor) -> Result<(), Stop> {
    cursor.skip(1);
    loop {
        cursor.take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F));
        match cursor.peek() {
            // Bytes that are no UTF-8 are found by the parser.
            None => return cut([&rest_of_character(cursor.text)[..], b"\""].concat()),
            Some(b'"') => {
                cursor.skip(1);
                return Ok(());
            }
            Some(b'\\') => escape(cursor).map_err(|stop| stop.then(b"\""))?,
            Some(_) => return Err(Stop::Fault),
        }
    }
}

fn escape(cursor: &mut Cursor) -> Result<(), Stop> {
    cursor.skip(1);
    let kind = cursor.peek();
    cursor.skip(1);
    match kind {
        None => cut("t"),
        Some(b'u') => {
            let (begun, _) = cursor.rest().split_at(cursor.rest().len().min(4));
            cursor.skip(begun.len());
            match begun.iter().all(u8::is_ascii_hexdigit) {
                true if begun.len() == 4 => Ok(()),
                true => cut(rest_of_hex(begun, 4)),
                false => Err(Stop::Fault),
            }
        }
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
        Some(_) => Err(Stop::Fault),
    }
}

#[cfg(test)]
mod tests {
    use super::ending;

    #[test]
    fn whatever_was_cut_is_closed() {
        for (body, missing) in [
            ("{", "}"),
            ("[", "]"),
            ("{\"a", "\":null}"),
            ("{\"a\"", ":null}"),
            ("{\"a\":", "null}"),
            ("{\"a\":1", "}"),
            ("{\"a\":1,", "\"\":null}"),
            ("{\"a\":[1,", "null]}"),
            ("{\"a\":[{\"b\":\"c", "\"}]}"),
            ("[\"\\", "t\"]"),
            ("[\"\\u00", "20\"]"),
            ("[\"\\u000", "9\"]"),
            ("[tr", "ue]"),
            ("[-", "0]"),
            ("[1.", "0]"),
            ("[1e", "0]"),
            ("[1e+", "0]"),
            ("[0", "]"),
            (" \n", "null"),
            ("\"a", "\""),
            ("1", ""),
            ("{} ", ""),
        ] {
            assert_eq!(ending(body.as_bytes()), missing.as_bytes(), "{body}");
        }
        assert_eq!(ending(b"[\"\xE2\x82"), b"\x80\"]", "a character that is no letter");
    }

    #[test]
    fn what_is_wrong_stays_as_it_is() {
        for body in [
            "\u{feff}{\"a\":1",
            "/**/{",
            "{'a",
            "[1,]",
            "{,",
            "{\"a\",",
            "[}",
            "[\"\\x",
            "[\"\\u00g",
            "[01",
            "[1.x",
            "[trx",
            "{}{",
            "{},",
            "[\"a\n",
            "nul1",
            "-x",
            "[1 2",
        ] {
            assert_eq!(ending(body.as_bytes()), b"", "{body}");
        }
    }

    #[test]
    fn a_whole_body_lacks_nothing_wherever_it_was_cut_before() {
        let body = r#"{"a":[1,-2.5e+10,"\u00e9\\\"x",true,null,[],{}],"ü😀":{"b":false}, "c" : "d" } "#;
        for end in 1..=body.len() {
            let begun = &body.as_bytes()[..end];
            let whole = [begun, &ending(begun)].concat();
            assert_eq!(ending(&whole), b"", "{}", String::from_utf8_lossy(&whole));
        }
    }

    #[test]
    fn depth_is_no_limit() {
        let body = "[".repeat(1_000_000);
        assert_eq!(ending(body.as_bytes()).len(), body.len());
    }
}
