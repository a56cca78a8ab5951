//! Lines of a configuration file as ModSecurity reads them: a backslash at the end joins the next one.

use super::words::words;
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

/// The lines of a file that are a directive each.
pub(super) fn directives(content: &[u8], version: EngineVersion) -> Vec<Line> {
    let mut lines: Vec<Line> = lines(content, version).collect();
    if version == EngineVersion::V3 {
        join_rules(&mut lines);
    }
    lines.retain(|line| !line.text.is_empty());
    lines
}

/// ModSecurity 3 needs no backslash between the parts of a `SecRule`, nor in what stands between double quotes. What another
/// directive follows before a quote is closed was not meant so.
fn join_rules(lines: &mut [Line]) {
    let mut index = 0;
    while index < lines.len() {
        let first = index;
        let (line, rest) = match lines.get_mut(first..).and_then(<[Line]>::split_first_mut) {
            Some(split) => split,
            None => return,
        };
        index += 1;
        if !begins_with(&line.text, "SecRule") && !begins_with(&line.text, "SecAction") {
            continue;
        }
        loop {
            let behind = index - first - 1;
            let count = match has_open_quote(&line.text) {
                true => closing(&line.text, rest.get(behind..).unwrap_or_default()),
                // What can only be a part of a rule.
                false => rest.get(behind).filter(|next| next.text.starts_with(['"', '@', '!'])).map(|_| 1),
            };
            let Some(count) = count else { break };
            for next in rest.iter_mut().skip(behind).take(count) {
                line.text.push('\n');
                line.text.push_str(&std::mem::take(&mut next.text));
            }
            index += count;
        }
    }
}

/// How many of the lines that follow belong to what is open at the end of the text; `None`: it is not closed.
fn closing(text: &str, lines: &[Line]) -> Option<usize> {
    let mut whole = text.to_owned();
    for (index, next) in lines.iter().enumerate() {
        if begins_with(&next.text, "Sec") || begins_with(&next.text, "Include") {
            return None;
        }
        if next.text.contains('"') {
            whole.push_str(&next.text);
            if !has_open_quote(&whole) {
                return Some(index + 1);
            }
        }
    }
    None
}

fn begins_with(text: &str, name: &str) -> bool {
    text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Whether the directive ends within double quotes.
fn has_open_quote(text: &str) -> bool {
    let (name, arguments) = text.split_once(|char: char| char.is_ascii_whitespace()).unwrap_or((text, ""));
    words(name, arguments, EngineVersion::V3).iter().any(|word| word.quote == Some('"') && !word.is_closed)
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
    fn modsecurity_3_needs_no_backslash_within_a_rule() {
        let read = |content: &str, version| -> Vec<(usize, String)> {
            let lines = directives(content.as_bytes(), version);
            lines.into_iter().map(|line| (line.number, line.text)).collect()
        };
        let text = "SecRule A\n\"@pm a\n\nb\"\n  \"id:1\"\nSecRule B \"@rx c\nSecRule C \"@rx d\" \"id:2\"\nx\n\"y\n";
        let expected = [
            (1, "SecRule A\n\"@pm a\n\nb\"\n\"id:1\""),
            (6, "SecRule B \"@rx c"),
            (7, "SecRule C \"@rx d\" \"id:2\""),
            (8, "x"),
            (9, "\"y"),
        ];
        assert_eq!(read(text, EngineVersion::V3), expected.map(|(number, text)| (number, text.to_owned())));
        assert_eq!(read(text, EngineVersion::V2).len(), 8);
        assert_eq!(read("SecAction \"id:1", EngineVersion::V3).len(), 1);
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
