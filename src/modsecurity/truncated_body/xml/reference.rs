//! References to characters and entities, in text and in the values of attributes.

use super::is_name;
use crate::modsecurity::truncated_body::{Cursor, Stop, cut};

/// `&lt;`, `&name;`, `&#60;`, `&#x3c;`.
pub(super) fn reference(cursor: &mut Cursor, declared: &[&[u8]]) -> Result<(), Stop> {
    cursor.skip(1);
    if cursor.peek() == Some(b'#') {
        cursor.skip(1);
        return number(cursor).map_err(|stop| stop.then(b";"));
    }
    let name = cursor.take_while(is_name);
    if cursor.peek().is_none() {
        let known = [&b"amp"[..], b"lt", b"gt", b"quot", b"apos"];
        let mut known = declared
            .iter()
            .copied()
            .filter(|known| *known == name)
            .chain(known)
            .chain(declared.iter().copied());
        let missing = known.find_map(|known| known.strip_prefix(name)).unwrap_or_default();
        return cut([missing, b";"].concat());
    }
    match cursor.word(b";")? {
        true => Ok(()),
        false => Err(Stop::Fault),
    }
}

/// The number of a character, up to its semicolon.
fn number(cursor: &mut Cursor) -> Result<(), Stop> {
    let radix = if cursor.peek() == Some(b'x') { 16 } else { 10 };
    cursor.skip(usize::from(radix == 16));
    let digits = cursor.take_while(|byte| char::from(byte).is_digit(radix));
    match cursor.peek() {
        Some(b';') => {
            cursor.skip(1);
            Ok(())
        }
        Some(_) => Err(Stop::Fault),
        None => {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            let is_character = |more: &&str| {
                let number = u32::from_str_radix(&format!("{digits}{more}"), radix);
                number
                    .ok()
                    .and_then(char::from_u32)
                    .is_some_and(|char| !char.is_control() || "\t\r\n".contains(char))
            };
            let more = ["", "9", "0", "00", "32", "20", "032", "020"].into_iter().find(is_character);
            more.map_or(Err(Stop::Fault), cut)
        }
    }
}
