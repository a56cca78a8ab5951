//! Characters that were cut in the middle.

/// Returns the bytes that complete the character at the end of a text in UTF-8. Where several would do, the character
/// becomes a letter, which may stand everywhere.
pub(super) fn rest_of_character(text: &[u8]) -> Vec<u8> {
    let is_continuation = |byte: u8| byte & 0xC0 == 0x80;
    let have = text.iter().rev().take(3).take_while(|&&byte| is_continuation(byte)).count() + 1;
    let Some(begun) = text.len().checked_sub(have).and_then(|start| text.get(start..)) else {
        return Vec::new();
    };
    let Some((&lead, continuations)) = begun.split_first() else { return Vec::new() };
    let (length, bits) = match lead {
        0xC0..=0xDF => (2, lead & 0x1F),
        0xE0..=0xEF => (3, lead & 0x0F),
        0xF0..=0xF7 => (4, lead & 0x07),
        _ => return Vec::new(),
    };
    let Some(missing) = usize::checked_sub(length, have) else { return Vec::new() };
    let known = continuations.iter().fold(u32::from(bits), |known, byte| known << 6 | u32::from(byte & 0x3F));
    let first = known << (6 * missing);
    let possible = || (first..first + (1 << (6 * missing))).filter_map(char::from_u32);
    let fits = |char: &char| char.len_utf8() == length;
    let chosen = possible()
        .find(|char| fits(char) && begins_a_name(*char))
        .or_else(|| possible().find(|char| fits(char) && !char.is_control()));
    let mut buffer = [0; 4];
    let encoded = chosen.map(|char| char.encode_utf8(&mut buffer).as_bytes());
    // An overlong form, or half of a pair: some parsers take them.
    encoded.and_then(|bytes| bytes.get(have..)).map_or_else(|| vec![0x80; missing], <[u8]>::to_vec)
}

/// Beyond ASCII, XML 1.0, 2.3 (`NameStartChar`).
fn begins_a_name(char: char) -> bool {
    matches!(char,
        '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// Returns the digits that complete a hexadecimal number of two or four digits. Where several would do, the number becomes
/// that of a blank, a tab, a letter or a digit, which no rule minds.
pub(super) fn rest_of_hex(digits: &[u8], length: usize) -> &'static [u8] {
    match (length.saturating_sub(digits.len()), digits.last()) {
        (4, _) => b"0020",
        (3, _) => b"020",
        (2, _) => b"20",
        (1, Some(b'0')) => b"9",
        (1, Some(b'2')) => b"0",
        (1, _) => b"1",
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_becomes_whole() {
        for char in ['é', 'ß', '€', '日', '\u{7FF}', '\u{800}', '\u{FFFD}', '😀', '\u{10FFFF}', '\u{80}']
        {
            let text = format!("a{char}");
            for end in 1..=text.len() {
                let begun = &text.as_bytes()[..end];
                let whole = [begun, &rest_of_character(begun)].concat();
                assert!(
                    String::from_utf8(whole.clone()).is_ok_and(|whole| whole.chars().count() <= 2),
                    "{whole:?}"
                );
            }
        }
        for other in [&b""[..], b"\x80", b"\x80\x80\x80\x80", b"\xFF", b"abc", b"\xF8\x80"] {
            assert_eq!(rest_of_character(other), b"", "{other:?}");
        }
        assert_eq!(rest_of_character(b"\xED\xA0"), b"\x80");
    }

    #[test]
    fn an_escape_becomes_one_that_no_rule_minds() {
        for escape in ["0041", "000a", "0020", "003c", "d83d", "000", "00", ""] {
            let digits = &escape.as_bytes()[..escape.len().min(3)];
            let whole = [digits, rest_of_hex(digits, 4)].concat();
            let number = u32::from_str_radix(std::str::from_utf8(&whole).unwrap(), 16).unwrap();
            assert!(whole.len() == 4 && number != 0 && number != 0x3c, "{whole:?}");
        }
    }
}
