//! Lines of a configuration file as ModSecurity reads them: a backslash at the end joins the next one.

use crate::rules::version::EngineVersion;

/// A line, joined with the lines that continue it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The number of its first line, from 1.
    pub(super) number: usize,
    /// The text of the line without the blanks around it; empty for a comment.
    pub(super) text: String,
}

/// Splits the content of a file into lines, joined as this version of ModSecurity joins them.
pub(super) fn lines(content: &[u8], version: EngineVersion) -> impl Iterator<Item = Line> {
    let mut pieces = content.split_inclusive(|&byte| byte == b'\n').enumerate();
    std::iter::from_fn(move || {
        let (index, mut piece) = pieces.next()?;
        let mut text = Vec::new();
        let mut is_comment = is_v3_comment(piece, version);
        loop {
            let ended = piece.strip_suffix(b"\n");
            let ended = ended.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            let joined = match std::mem::take(&mut is_comment) {
                true => comment_that_goes_on(piece),
                false => ended.and_then(|line| line.strip_suffix(b"\\")),
            };
            text.extend_from_slice(joined.or(ended).unwrap_or(piece));
            match joined.and_then(|_| pieces.next()) {
                Some((_, next)) => piece = next,
                None => break,
            }
        }
        let text = match text.trim_ascii() {
            [b'#', ..] => String::new(),
            text => String::from_utf8_lossy(text).into_owned(),
        };
        Some(Line { number: index + 1, text })
    })
}

/// Whether ModSecurity 3 takes the line for a comment.
fn is_v3_comment(piece: &[u8], version: EngineVersion) -> bool {
    version == EngineVersion::V3 && piece.trim_ascii_start().starts_with(b"#")
}

/// The part before the backslash of a comment that the next line continues; `None` when it does not. ModSecurity 3
/// continues only a comment that was a rule; other comments may end with a backslash (`# C:\`).
fn comment_that_goes_on(piece: &[u8]) -> Option<&[u8]> {
    let text = piece.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
    if !text.starts_with(b"SecRule") && !text.starts_with(b"SecAction") {
        return None;
    }
    piece.strip_suffix(b"\n")?.trim_ascii_end().strip_suffix(b"\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str, version: EngineVersion) -> Vec<(usize, String)> {
        lines(content.as_bytes(), version)
            .filter(|line| !line.text.is_empty())
            .map(|line| (line.number, line.text))
            .collect()
    }

    fn expect(content: &str, two: &[(usize, &str)], three: &[(usize, &str)]) {
        for (version, expected) in [(EngineVersion::V2, two), (EngineVersion::V3, three)] {
            let expected: Vec<_> =
                expected.iter().map(|(number, text)| (*number, (*text).to_owned())).collect();
            assert_eq!(read(content, version), expected, "{content:?} {version:?}");
        }
    }

    #[test]
    fn a_backslash_joins_lines() {
        let both = &[(1, "a b"), (3, "c"), (5, "d")];
        expect("a \\\nb\n c \r\n\nd", both, both);
        let both = &[(1, "a  b c")];
        expect("a \\\r\n b \\\n\\\r\nc", both, both);
        expect("a\\", &[(1, "a\\")], &[(1, "a\\")]);
        expect("a\\\n", &[(1, "a")], &[(1, "a")]);
        expect("", &[], &[]);
    }

    #[test]
    fn a_backslash_joins_lines_to_a_comment() {
        expect("# C:\\\na\nb\n", &[(3, "b")], &[(2, "a"), (3, "b")]);
        expect(" #SecRule a \\\n b \\\nc\nd\n", &[(4, "d")], &[(4, "d")]);
        expect("# SecAction \\ \na\nb\n", &[(2, "a"), (3, "b")], &[(3, "b")]);
        expect("#\n#\\\n\na\n", &[(4, "a")], &[(4, "a")]);
    }
}
