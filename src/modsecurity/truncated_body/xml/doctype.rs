//! The document type declaration of XML. It stands before everything that is inspected, and few documents have one.

use super::reference::reference;
use super::{comment, instruction, is_blank, is_name};
use crate::modsecurity::truncated_body::{Cursor, Stop, cut};

/// Reads `<!DOCTYPE name SYSTEM "…" [ … ]>`, and adds the entities that it declares.
pub(super) fn doctype<'a>(cursor: &mut Cursor<'a>, entities: &mut Vec<&'a [u8]>) -> Result<(), Stop> {
    if !cursor.word(b"<!DOCTYPE").map_err(|stop| stop.then(b" a>"))? {
        return Err(Stop::Fault);
    }
    name(cursor).map_err(|stop| stop.then(b">"))?;
    let is_apart = !cursor.take_while(is_blank).is_empty();
    external(cursor, is_apart, Literals::Both).map_err(|stop| stop.then(b">"))?;
    cursor.take_while(is_blank);
    match cursor.peek() {
        None => return cut(">"),
        Some(b'[') => {
            cursor.skip(1);
            subset(cursor, entities).map_err(|stop| stop.then(b">"))?;
            cursor.take_while(is_blank);
        }
        Some(_) => {}
    }
    expect(cursor, b">")
}

/// Up to its closing bracket.
fn subset<'a>(cursor: &mut Cursor<'a>, entities: &mut Vec<&'a [u8]>) -> Result<(), Stop> {
    let mut parameters = Vec::new();
    loop {
        cursor.take_while(is_blank);
        match (cursor.peek(), cursor.rest().get(1)) {
            (None, _) => return cut("]"),
            (Some(b']'), _) => {
                cursor.skip(1);
                return Ok(());
            }
            (Some(b'%'), _) => parameter(cursor, &parameters).map_err(|stop| stop.then(b"]"))?,
            (Some(b'<'), None) => return cut("!---->]"),
            (Some(b'<'), Some(b'?')) => instruction(cursor).map_err(|stop| stop.then(b"]"))?,
            (Some(b'<'), Some(b'!')) => {
                declaration(cursor, entities, &mut parameters).map_err(|stop| stop.then(b"]"))?;
            }
            _ => return Err(Stop::Fault),
        }
    }
}

/// `%name;`
fn parameter(cursor: &mut Cursor, declared: &[&[u8]]) -> Result<(), Stop> {
    cursor.skip(1);
    let name = cursor.take_while(is_name);
    if cursor.peek().is_none() {
        let missing = declared.iter().find_map(|known| known.strip_prefix(name)).unwrap_or_default();
        return cut([missing, b";"].concat());
    }
    expect(cursor, b";")
}

fn declaration<'a>(
    cursor: &mut Cursor<'a>,
    entities: &mut Vec<&'a [u8]>,
    parameters: &mut Vec<&'a [u8]>,
) -> Result<(), Stop> {
    if comment(cursor)? {
        return Ok(());
    }
    if cursor.word(b"<!ENTITY").map_err(|stop| stop.then(b" a \"\">"))? {
        return entity(cursor, entities, parameters);
    }
    if cursor.word(b"<!NOTATION").map_err(|stop| stop.then(b" a SYSTEM \"\">"))? {
        name(cursor).map_err(|stop| stop.then(b" SYSTEM \"\">"))?;
        let is_apart = !cursor.take_while(is_blank).is_empty();
        external(cursor, is_apart, Literals::OneWillDo).map_err(|stop| stop.then(b">"))?;
        cursor.take_while(is_blank);
        return expect(cursor, b">");
    }
    if cursor.word(b"<!ELEMENT").map_err(|stop| stop.then(b" a ANY>"))? {
        return element(cursor);
    }
    if cursor.word(b"<!ATTLIST").map_err(|stop| stop.then(b" a>"))? {
        return attributes(cursor);
    }
    Err(Stop::Fault)
}

/// `<!ENTITY name "…">`, `<!ENTITY name SYSTEM "…" NDATA name>`, `<!ENTITY % name …>`.
fn entity<'a>(
    cursor: &mut Cursor<'a>,
    entities: &mut Vec<&'a [u8]>,
    parameters: &mut Vec<&'a [u8]>,
) -> Result<(), Stop> {
    let mut declared = entities;
    let is_apart = !cursor.take_while(is_blank).is_empty();
    if is_apart && cursor.peek() == Some(b'%') {
        cursor.skip(1);
        declared = parameters;
    } else {
        cursor.at = cursor.at.saturating_sub(usize::from(is_apart));
    }
    let name = name(cursor).map_err(|stop| stop.then(b" \"\">"))?;
    let is_apart = !cursor.take_while(is_blank).is_empty();
    match cursor.peek() {
        None => return cut(if is_apart { "\"\">" } else { " \"\">" }),
        Some(b'"' | b'\'') => value(cursor).map_err(|stop| stop.then(b">"))?,
        Some(_) => {
            external(cursor, is_apart, Literals::Both).map_err(|stop| stop.then(b">"))?;
            cursor.take_while(is_blank);
            if cursor.peek() == Some(b'N') && cursor.word(b"NDATA").map_err(|stop| stop.then(b" a>"))? {
                self::name(cursor).map_err(|stop| stop.then(b">"))?;
            }
        }
    }
    declared.push(name);
    cursor.take_while(is_blank);
    expect(cursor, b">")
}

/// A blank, and a name.
fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Stop> {
    let is_apart = !cursor.take_while(is_blank).is_empty();
    let name = cursor.take_while(is_name);
    match (cursor.peek(), name) {
        (None, b"") => cut(if is_apart { "a" } else { " a" }),
        (None, _) => cut(""),
        (Some(_), b"") => Err(Stop::Fault),
        (Some(_), _) => Ok(name),
    }
}

/// The number of literals behind `PUBLIC`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    Both,
    OneWillDo,
}

/// `SYSTEM "…"` or `PUBLIC "…" "…"`, if there is one.
fn external(cursor: &mut Cursor, is_apart: bool, literals: Literals) -> Result<(), Stop> {
    match cursor.peek() {
        None if literals == Literals::OneWillDo => cut(if is_apart { "SYSTEM \"\"" } else { " SYSTEM \"\"" }),
        Some(b'S') if cursor.word(b"SYSTEM").map_err(|stop| stop.then(b" \"\""))? => apart(cursor),
        Some(b'P') if cursor.word(b"PUBLIC").map_err(|stop| stop.then(b" \"\" \"\""))? => {
            apart(cursor).map_err(|stop| stop.then(b" \"\""))?;
            if literals == Literals::OneWillDo {
                cursor.take_while(is_blank);
                return match cursor.peek() {
                    Some(b'"' | b'\'') => literal(cursor),
                    _ => Ok(()),
                };
            }
            apart(cursor)
        }
        _ => Ok(()),
    }
}

/// A blank, and a literal.
fn apart(cursor: &mut Cursor) -> Result<(), Stop> {
    let is_apart = !cursor.take_while(is_blank).is_empty();
    match cursor.peek() {
        None => cut(if is_apart { "\"\"" } else { " \"\"" }),
        Some(b'"' | b'\'') => literal(cursor),
        Some(_) => Err(Stop::Fault),
    }
}

/// From quote to quote.
fn literal(cursor: &mut Cursor) -> Result<(), Stop> {
    let quote = cursor.peek().unwrap_or_default();
    cursor.skip(1);
    cursor.behind(&[quote])
}

/// From quote to quote, with references.
fn value(cursor: &mut Cursor) -> Result<(), Stop> {
    let quote = cursor.peek().unwrap_or_default();
    cursor.skip(1);
    loop {
        cursor.take_while(|byte| byte != quote && byte != b'&');
        if cursor.peek() != Some(b'&') {
            return cursor.behind(&[quote]);
        }
        reference(cursor, &[]).map_err(|stop| stop.then(&[quote]))?;
    }
}

/// `<!ELEMENT name EMPTY>`, `ANY`, `(a, (b | c)*)`, `(#PCDATA | a)*`.
fn element(cursor: &mut Cursor) -> Result<(), Stop> {
    name(cursor).map_err(|stop| stop.then(b" ANY>"))?;
    let is_apart = !cursor.take_while(is_blank).is_empty();
    match cursor.peek() {
        None => return cut(if is_apart { "ANY>" } else { " ANY>" }),
        Some(b'(') => model(cursor).map_err(|stop| stop.then(b">"))?,
        Some(b'E') => expect(cursor, b"EMPTY").map_err(|stop| stop.then(b">"))?,
        Some(_) => expect(cursor, b"ANY").map_err(|stop| stop.then(b">"))?,
    }
    cursor.take_while(is_blank);
    expect(cursor, b">")
}

/// Up to the parenthesis that closes the first, and the sign behind it.
fn model(cursor: &mut Cursor) -> Result<(), Stop> {
    let (mut depth, mut is_mixed, mut has_names, mut lacks_item) = (0_usize, false, false, false);
    loop {
        cursor.take_while(is_blank);
        match cursor.peek() {
            None => {
                let item: &[u8] = if lacks_item { b"a" } else { b"" };
                has_names |= lacks_item;
                let many: &[u8] = if is_mixed && has_names { b"*" } else { b"" };
                return cut([item, &b")".repeat(depth), many].concat());
            }
            Some(b'(') => {
                cursor.skip(1);
                (depth, lacks_item) = (depth + 1, true);
            }
            Some(b')') => {
                cursor.skip(1);
                depth = depth.checked_sub(1).ok_or(Stop::Fault)?;
                let needs_sign = depth == 0 && is_mixed && has_names;
                match cursor.peek() {
                    Some(b'?' | b'*' | b'+') => cursor.skip(1),
                    None if needs_sign => return cut("*"),
                    _ => {}
                }
                if depth == 0 {
                    return Ok(());
                }
            }
            Some(b',' | b'|') => {
                cursor.skip(1);
                lacks_item = true;
            }
            Some(b'#') => {
                (is_mixed, lacks_item) = (true, false);
                expect(cursor, b"#PCDATA").map_err(|stop| stop.then(b")"))?;
            }
            Some(byte) if is_name(byte) => {
                cursor.take_while(is_name);
                (has_names, lacks_item) = (true, false);
                if let Some(b'?' | b'*' | b'+') = cursor.peek() {
                    cursor.skip(1);
                }
            }
            Some(_) => return Err(Stop::Fault),
        }
    }
}

/// `<!ATTLIST element attribute CDATA #IMPLIED other (a | b) "a">`.
fn attributes(cursor: &mut Cursor) -> Result<(), Stop> {
    name(cursor).map_err(|stop| stop.then(b">"))?;
    loop {
        let is_apart = !cursor.take_while(is_blank).is_empty();
        match cursor.peek() {
            None => return cut(">"),
            Some(b'>') => {
                cursor.skip(1);
                return Ok(());
            }
            Some(_) => cursor.at = cursor.at.saturating_sub(usize::from(is_apart)),
        }
        name(cursor).map_err(|stop| stop.then(b" CDATA #IMPLIED>"))?;
        kind(cursor).map_err(|stop| stop.then(b" #IMPLIED>"))?;
        default(cursor).map_err(|stop| stop.then(b">"))?;
    }
}

const KINDS: [&[u8]; 9] =
    [b"CDATA", b"IDREFS", b"IDREF", b"ID", b"ENTITIES", b"ENTITY", b"NMTOKENS", b"NMTOKEN", b"NOTATION"];

/// The type of an attribute.
fn kind(cursor: &mut Cursor) -> Result<(), Stop> {
    let is_apart = !cursor.take_while(is_blank).is_empty();
    let word = cursor.take_while(is_name);
    match (cursor.peek(), word) {
        (None, b"") => return cut(if is_apart { "CDATA" } else { " CDATA" }),
        (None, b"NOTATION") => return cut(" (a)"),
        (None, _) if KINDS.contains(&word) => return cut(""),
        (None, _) => {
            let whole = KINDS.iter().find(|kind| kind.starts_with(word)).ok_or(Stop::Fault)?;
            let names: &[u8] = if *whole == b"NOTATION" { b" (a)" } else { b"" };
            return cut([whole.strip_prefix(word).unwrap_or_default(), names].concat());
        }
        (Some(_), b"" | b"NOTATION") => {}
        (Some(_), _) => return Ok(()),
    }
    cursor.take_while(is_blank);
    if cursor.peek().is_none() {
        return cut("(a)");
    }
    expect(cursor, b"(")?;
    loop {
        cursor.take_while(is_blank);
        let name = cursor.take_while(is_name);
        cursor.take_while(is_blank);
        match (cursor.peek(), name) {
            (None, b"") => return cut("a)"),
            (None, _) => return cut(")"),
            (Some(b'|'), _) => cursor.skip(1),
            _ => return expect(cursor, b")"),
        }
    }
}

/// The default of an attribute.
fn default(cursor: &mut Cursor) -> Result<(), Stop> {
    let is_apart = !cursor.take_while(is_blank).is_empty();
    match (cursor.peek(), cursor.rest().get(1)) {
        (None, _) => cut(if is_apart { "#IMPLIED" } else { " #IMPLIED" }),
        (Some(b'"' | b'\''), _) => value(cursor),
        (Some(b'#'), Some(b'R')) => expect(cursor, b"#REQUIRED"),
        (Some(b'#'), Some(b'F')) => {
            expect(cursor, b"#FIXED").map_err(|stop| stop.then(b" \"\""))?;
            let is_apart = !cursor.take_while(is_blank).is_empty();
            match cursor.peek() {
                None => cut(if is_apart { "\"\"" } else { " \"\"" }),
                Some(_) => value(cursor),
            }
        }
        _ => expect(cursor, b"#IMPLIED"),
    }
}

fn expect(cursor: &mut Cursor, word: &[u8]) -> Result<(), Stop> {
    match cursor.word(word)? {
        true => Ok(()),
        false => Err(Stop::Fault),
    }
}
