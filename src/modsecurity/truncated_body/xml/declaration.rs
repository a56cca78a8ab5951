//! The XML declaration, before everything else.

use super::{is_blank, is_name};
use crate::modsecurity::truncated_body::{Cursor, Stop, cut};

/// The encodings of a declaration that was cut.
const ENCODINGS: [&str; 12] = [
    "UTF-8",
    "utf-8",
    "UTF-16",
    "utf-16",
    "ISO-8859-15",
    "iso-8859-15",
    "ISO-8859-1",
    "iso-8859-1",
    "US-ASCII",
    "us-ascii",
    "windows-1252",
    "Windows-1252",
];

/// `<?xml version="1.0" encoding="UTF-8"?>`, where it stands.
pub(super) fn declaration(cursor: &mut Cursor) -> Result<(), Stop> {
    let rest = cursor.rest();
    if !(rest.starts_with(b"<?xml") && rest.get(5).is_some_and(|&byte| is_blank(byte))) {
        return Ok(());
    }
    if rest.windows(2).any(|bytes| bytes == b"?>") {
        return cursor.behind(b"?>");
    }
    cursor.skip(5);
    let mut names: Vec<&[u8]> = Vec::new();
    loop {
        let is_apart = !cursor.take_while(is_blank).is_empty();
        let name = cursor.take_while(is_name);
        match (cursor.peek(), name) {
            (None, b"") if names.is_empty() => {
                return cut(if is_apart { "version=\"1.0\"?>" } else { " version=\"1.0\"?>" });
            }
            (None, b"") => return cut("?>"),
            (Some(b'?'), b"") => return cut(">"),
            (None, name) => {
                let known = [("version", "1.0"), ("encoding", "UTF-8"), ("standalone", "no")];
                let missing = known.iter().find_map(|(known, value)| {
                    let missing = known.as_bytes().strip_prefix(name)?;
                    Some([missing, b"=\"", value.as_bytes(), b"\"?>"].concat())
                });
                return missing.map_or(Err(Stop::Fault), cut);
            }
            (Some(_), _) => {}
        }
        names.push(name);
        let values: &[&str] = match name {
            b"version" => &["1.0"],
            b"encoding" => &ENCODINGS,
            _ => &["no", "yes"],
        };
        value(cursor, values).map_err(|stop| stop.then(b"?>"))?;
    }
}

/// ` = "value"`, which becomes one of these.
fn value(cursor: &mut Cursor, values: &[&str]) -> Result<(), Stop> {
    let usual = values.first().copied().unwrap_or_default();
    cursor.take_while(is_blank);
    if !cursor.word(b"=").map_err(|stop| stop.then(format!("\"{usual}\"").as_bytes()))? {
        return Err(Stop::Fault);
    }
    cursor.take_while(is_blank);
    let quote = match cursor.peek() {
        None => return cut(format!("\"{usual}\"")),
        Some(quote @ (b'"' | b'\'')) => quote,
        Some(_) => return Err(Stop::Fault),
    };
    cursor.skip(1);
    let begun = cursor.take_while(|byte| byte != quote);
    match cursor.peek() {
        Some(_) => {
            cursor.skip(1);
            Ok(())
        }
        None => {
            let whole = values.iter().filter(|known| known.as_bytes() == begun).chain(values);
            let missing = whole.filter_map(|known| known.as_bytes().strip_prefix(begun)).next();
            cut([missing.unwrap_or_default(), &[quote]].concat())
        }
    }
}
