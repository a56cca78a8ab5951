//! The ending of a form (`application/x-www-form-urlencoded`).

use super::characters::rest_of_hex;

/// Returns the digits that complete the escape (`%41`) at the end of the form, as rules mind broken escapes.
pub(super) fn ending(body: &[u8]) -> Vec<u8> {
    let missing = match body {
        [.., b'%'] => rest_of_hex(b"", 2),
        [.., b'%', digit] if digit.is_ascii_hexdigit() => rest_of_hex(&[*digit], 2),
        _ => b"",
    };
    missing.to_vec()
}

#[cfg(test)]
mod tests {
    use super::ending;

    #[test]
    fn an_escape_becomes_whole() {
        for (body, missing) in [
            ("a=%", "20"),
            ("a=%4", "1"),
            ("a=%0", "9"),
            ("a=%41", ""),
            ("a=%4x", ""),
            ("a=%x", ""),
            ("", ""),
        ] {
            assert_eq!(ending(body.as_bytes()), missing.as_bytes(), "{body}");
        }
    }
}
