//! How the log shows bytes that a peer has sent: quoted, escaped and cut, so that no request can write a log line of its
//! own choosing, or a long one.

use std::fmt::{self, Write};

/// The most bytes of a value that the log shows.
const MAX_SHOWN: usize = 256;

/// Displays bytes as a quoted ASCII string. Control bytes, double quotes and bytes above 126 are escaped as in Rust. Only
/// the first 256 bytes are shown, followed by the number of the remaining ones.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.0.split_at_checked(MAX_SHOWN).unwrap_or((self.0, &[]));
        f.write_char('"')?;
        // Single quotes need no escape between double ones.
        for (index, part) in shown.split(|&byte| byte == b'\'').enumerate() {
            f.write_str(if index == 0 { "" } else { "'" })?;
            write!(f, "{}", part.escape_ascii())?;
        }
        f.write_char('"')?;
        if rest.is_empty() { Ok(()) } else { write!(f, "… and {} more bytes", rest.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_value_can_end_its_line_or_its_quotes() {
        assert_eq!(Quoted(b"'/a\r\nb\"c\x1b[2J'\xff").to_string(), r#""'/a\r\nb\"c\x1b[2J'\xff""#);
    }

    #[test]
    fn a_long_value_is_cut() {
        let shown = Quoted(&[b'a'; 1000]).to_string();
        assert!(shown.len() < 300 && shown.ends_with("744 more bytes"), "{shown}");
    }
}
