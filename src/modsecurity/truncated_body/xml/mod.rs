//! The ending of XML (1.0, with namespaces), as the engines' parser libxml2 reads it.

mod declaration;
mod doctype;
mod reference;

use super::characters::rest_of_character;
use super::{Cursor, Stop, cut};
use declaration::declaration;
use doctype::doctype;
use reference::reference;

/// The byte order mark in UTF-8, which may stand before a document.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Returns the bytes that complete the document: none where the document is complete, and where nothing could complete it.
pub(super) fn ending(body: &[u8]) -> Vec<u8> {
    match body {
        [0xFF, 0xFE, ..] | [b'<', 0, ..] => in_utf16(body, u16::from_le_bytes, u16::to_le_bytes),
        [0xFE, 0xFF, ..] | [0, b'<', ..] => in_utf16(body, u16::from_be_bytes, u16::to_be_bytes),
        [0xEF] | [0xEF, 0xBB] => [MARK.strip_prefix(body).unwrap_or_default(), b"<a/>"].concat(),
        _ => in_utf8(body),
    }
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

fn in_utf8(body: &[u8]) -> Vec<u8> {
    let missing = rest_of_character(body);
    let as_it_is = scan(without_mark(body));
    if missing.is_empty() || as_it_is.is_certain {
        return as_it_is.ending;
    }
    let text = [body, &missing].concat();
    [missing, scan(without_mark(&text)).ending].concat()
}

/// The body without half a unit of UTF-16 at its end, which says nothing yet.
pub(super) fn whole_units(body: &[u8]) -> &[u8] {
    let is_utf16 =
        matches!(body, [0xFF | 0xFE] | [0xFF, 0xFE, ..] | [b'<', 0, ..] | [0xFE, 0xFF, ..] | [0, b'<', ..]);
    match body.split_last() {
        Some((_, units)) if is_utf16 && body.len() % 2 == 1 => units,
        _ => body,
    }
}

fn in_utf16(body: &[u8], read: fn([u8; 2]) -> u16, write: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let units = body.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(read);
    let mut units: Vec<u16> = units.collect();
    let pair: &[u16] = if matches!(units.last(), Some(0xD800..=0xDBFF)) { &[0xDC00] } else { &[] };
    units.extend(pair);
    let text = String::from_utf16_lossy(&units);
    let ending = scan(text.trim_start_matches('\u{feff}').as_bytes()).ending;
    let ending = String::from_utf8_lossy(&ending).into_owned();
    pair.iter().copied().chain(ending.encode_utf16()).flat_map(write).collect()
}

/// The outcome of a scan.
struct Found {
    ending: Vec<u8>,
    /// The end of the document's last character is known, and part of the ending.
    is_certain: bool,
}

fn scan(text: &[u8]) -> Found {
    let cursor = Cursor::new(text);
    let mut scan =
        Scan { cursor, open: Vec::new(), has_root: false, entities: Vec::new(), is_certain: false };
    let ending = match scan.run() {
        Stop::Cut(construct) => {
            let open = scan.open.iter().rev().flat_map(|name| [b"</", *name, b">"].concat());
            let root: &[u8] = if scan.has_root { b"" } else { b"<a/>" };
            construct.into_iter().chain(open).chain(root.iter().copied()).collect()
        }
        Stop::Fault => Vec::new(),
    };
    Found { ending, is_certain: scan.is_certain }
}

struct Scan<'a> {
    cursor: Cursor<'a>,
    /// The names of the elements that are open, the outermost first.
    open: Vec<&'a [u8]>,
    has_root: bool,
    /// Those that the document itself declares.
    entities: Vec<&'a [u8]>,
    is_certain: bool,
}

impl<'a> Scan<'a> {
    fn run(&mut self) -> Stop {
        if let Err(stop) = declaration(&mut self.cursor) {
            return stop;
        }
        loop {
            if let Err(stop) = self.construct() {
                return stop;
            }
        }
    }

    fn construct(&mut self) -> Result<(), Stop> {
        let is_inside = !self.open.is_empty();
        let text = self.cursor.take_while(|byte| !matches!(byte, b'<' | b'&'));
        if !is_inside && !text.iter().all(|&byte| is_blank(byte)) {
            return Err(Stop::Fault);
        }
        match (self.cursor.peek(), self.cursor.rest().get(1)) {
            (None, _) => cut(""),
            (Some(b'&'), _) if is_inside => reference(&mut self.cursor, &self.entities),
            (Some(b'<'), None) if is_inside => {
                let name = self.open.pop().unwrap_or_default();
                cut([b"/", name, b">"].concat())
            }
            (Some(b'<'), None) if self.has_root => cut("!---->"),
            (Some(b'<'), None) => {
                self.has_root = true;
                cut("a/>")
            }
            (Some(b'<'), Some(b'?')) => instruction(&mut self.cursor),
            (Some(b'<'), Some(b'!')) => self.exclamation(),
            (Some(b'<'), Some(b'/')) => self.end_tag(),
            (Some(b'<'), Some(_)) if is_inside || !self.has_root => self.start_tag(),
            _ => Err(Stop::Fault),
        }
    }

    fn exclamation(&mut self) -> Result<(), Stop> {
        if comment(&mut self.cursor)? {
            return Ok(());
        }
        if !self.open.is_empty() {
            return match self.cursor.word(b"<![CDATA[").map_err(|stop| stop.then(b"]]>"))? {
                true => self.cursor.behind(b"]]>"),
                false => Err(Stop::Fault),
            };
        }
        match self.has_root {
            true => Err(Stop::Fault),
            false => doctype(&mut self.cursor, &mut self.entities),
        }
    }

    fn end_tag(&mut self) -> Result<(), Stop> {
        self.cursor.skip(2);
        let name = self.open.pop().ok_or(Stop::Fault)?;
        let named = self.cursor.word(name).map_err(|stop| stop.then(b">"));
        self.is_certain = named.is_err();
        if !named? {
            return Err(Stop::Fault);
        }
        self.cursor.take_while(is_blank);
        match self.cursor.word(b">")? {
            true => Ok(()),
            false => Err(Stop::Fault),
        }
    }

    fn start_tag(&mut self) -> Result<(), Stop> {
        self.has_root = true;
        self.cursor.skip(1);
        let name = self.cursor.take_while(is_name);
        if self.cursor.peek().is_none() {
            return cut(if name.ends_with(b":") { "a/>" } else { "/>" });
        }
        let mut attributes = Vec::new();
        loop {
            self.cursor.take_while(is_blank);
            match self.cursor.peek() {
                None => return cut("/>"),
                Some(b'>') => {
                    self.cursor.skip(1);
                    self.open.push(name);
                    return Ok(());
                }
                Some(b'/') => {
                    return match self.cursor.word(b"/>")? {
                        true => Ok(()),
                        false => Err(Stop::Fault),
                    };
                }
                Some(_) => self.attribute(&mut attributes).map_err(|stop| stop.then(b"/>"))?,
            }
        }
    }

    /// An attribute may stand in a tag but once.
    fn attribute(&mut self, others: &mut Vec<&'a [u8]>) -> Result<(), Stop> {
        let name = self.cursor.take_while(is_name);
        if name.is_empty() {
            return Err(Stop::Fault);
        }
        if self.cursor.peek().is_none() {
            let mut longer = name.to_vec();
            while longer.ends_with(b":") || others.contains(&&longer[..]) {
                longer.push(b'a');
            }
            return cut([longer.get(name.len()..).unwrap_or_default(), b"=\"\""].concat());
        }
        others.push(name);
        self.cursor.take_while(is_blank);
        if !self.cursor.word(b"=").map_err(|stop| stop.then(b"\"\""))? {
            return Err(Stop::Fault);
        }
        self.cursor.take_while(is_blank);
        let quote = match self.cursor.peek() {
            None => return cut("\"\""),
            Some(quote @ (b'"' | b'\'')) => quote,
            Some(_) => return Err(Stop::Fault),
        };
        self.cursor.skip(1);
        loop {
            self.cursor.take_while(|byte| byte != quote && !matches!(byte, b'<' | b'&'));
            match self.cursor.peek() {
                None => return cut([quote]),
                Some(b'&') => {
                    reference(&mut self.cursor, &self.entities).map_err(|stop| stop.then(&[quote]))?
                }
                Some(b'<') => return Err(Stop::Fault),
                Some(_) => {
                    self.cursor.skip(1);
                    return Ok(());
                }
            }
        }
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a byte may belong to a name. The parser knows better.
pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.' | 0x80..)
}

/// Reads a comment: whether it is one.
pub(super) fn comment(cursor: &mut Cursor) -> Result<bool, Stop> {
    if !cursor.word(b"<!--").map_err(|stop| stop.then(b"-->"))? {
        return Ok(false);
    }
    cursor.behind(b"-->").map(|()| true)
}

pub(super) fn instruction(cursor: &mut Cursor) -> Result<(), Stop> {
    cursor.skip(2);
    let name = cursor.take_while(is_name);
    match cursor.peek() {
        // The name xml is none.
        None if name.is_empty() || name.eq_ignore_ascii_case(b"xml") => cut("a?>"),
        _ => cursor.behind(b"?>"),
    }
}

#[cfg(test)]
mod tests {
    use super::{ending, whole_units};

    #[test]
    fn whatever_was_cut_is_closed() {
        for (body, missing) in [
            (" ", "<a/>"),
            ("<", "a/>"),
            ("<?", "a?><a/>"),
            ("<?xml", "a?><a/>"),
            ("<?xml ", "version=\"1.0\"?><a/>"),
            ("<?xml version=\"1.", "0\"?><a/>"),
            ("<?xml version=\"1.0\" enc", "oding=\"UTF-8\"?><a/>"),
            ("<?xml version=\"1.0\" encoding='U", "TF-8'?><a/>"),
            ("<?xml version=\"1.0\"?", "><a/>"),
            ("<a", "/>"),
            ("<a:", "a/>"),
            ("<a b", "=\"\"/>"),
            ("<a b='' b", "a=\"\"/>"),
            ("<a b=", "\"\"/>"),
            ("<a b='c", "'/>"),
            ("<a b='&l", "t;'/>"),
            ("<a b='c'", "/>"),
            ("<a b='c'/", ">"),
            ("<a>", "</a>"),
            ("<a><b>c<", "/b></a>"),
            ("<a><bc>c</b", "c></a>"),
            ("<a><b/><c>&am", "p;</c></a>"),
            ("<a>&#", "9;</a>"),
            ("<a>&#x", "9;</a>"),
            ("<a>&#1", "0;</a>"),
            ("<a><!", "----></a>"),
            ("<a><!-- b -", "-></a>"),
            ("<a><!-- b --", "></a>"),
            ("<a><![CDA", "TA[]]></a>"),
            ("<a><![CDATA[b]", "]></a>"),
            ("<a><?b ", "?></a>"),
            ("<a/>\n<", "!---->"),
            ("<a/> ", ""),
            ("<!DOCTYPE a [<!ENTITY b \"c", "\">]><a/>"),
            ("<!DOCTYPE a [<!ENTITY bcd \"c\">]><a>&b", "cd;</a>"),
        ] {
            assert_eq!(String::from_utf8_lossy(&ending(body.as_bytes())), missing, "{body}");
        }
    }

    #[test]
    fn what_is_wrong_stays_as_it_is() {
        for body in [
            "a", "<a></b>", "<a></b", "<a/><b", "<a b=c", "<a b='<'", "<a>& ", "<a 1=''x", "<a/>b", "</a>",
            "<1",
        ] {
            let ending = ending(body.as_bytes());
            assert!(ending.is_empty() || body == "<1" || body == "<a 1=''x", "{body}");
        }
    }

    #[test]
    fn utf16_is_closed_in_kind() {
        for write in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes = |text: &str| text.encode_utf16().flat_map(write).collect::<Vec<_>>();
            let whole = bytes("\u{feff}<ä>😀</ä>");
            for end in 2..=whole.len() {
                let begun = whole_units(&whole[..end]);
                let closed = [begun, &ending(begun)].concat();
                assert_eq!(ending(&closed), b"", "{closed:?}");
                assert_eq!((begun.len() % 2, closed.len() % 2), (0, 0));
            }
        }
    }

    #[test]
    fn a_whole_document_lacks_nothing_wherever_it_was_cut_before() {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone='yes'?>\n<!-- a --><!DOCTYPE a PUBLIC \"b\" 'c' [\n\
            <!ENTITY b \"c&#10;\"> <!ENTITY % d SYSTEM 'e&f'><!ENTITY g PUBLIC \"h\" \"i\" NDATA j>\
            <!ELEMENT a (b , (c|d)*, e?)+> <!ELEMENT b (#PCDATA | a)*><!ELEMENT c EMPTY><!NOTATION j SYSTEM \"k\">\
            <!ATTLIST a b CDATA #IMPLIED c (d | e) \"d\" f NOTATION (j) #REQUIRED g ID #FIXED 'h'> <?i j?> ] >\n\
            <a b=\"&lt;\" ü:c = '&#x20;'>text<b/><![CDATA[<]] >]]>&b;&#233;<c d=''></c >ß</a>\n<?end ?><!---->";
        for end in 1..=body.len() {
            let begun = &body.as_bytes()[..end];
            let whole = [begun, &ending(begun)].concat();
            assert_eq!(ending(&whole), b"", "{}", String::from_utf8_lossy(&whole));
        }
    }
}
