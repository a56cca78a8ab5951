//! The words of a directive's arguments: what is between blanks, or between quotes.

use crate::rules::version::EngineVersion;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// As it is written, without its quotes.
    raw: String,
    /// The quote that it begins with.
    pub(crate) quote: Option<char>,
    /// Its closing quote is there, or it has none to close.
    pub(crate) is_closed: bool,
}

impl Word {
    /// As it is written, without its quotes: what libmodsecurity 3 goes by.
    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }

    /// With `\"` and `\\` taken for one character: what ModSecurity 2 goes by.
    pub(crate) fn text(&self) -> String {
        unescaped(&self.raw, self.quote)
    }

    /// As this engine goes by it.
    pub(crate) fn as_read_by(&self, version: EngineVersion) -> String {
        match version {
            EngineVersion::V2 => self.text(),
            EngineVersion::V3 => self.raw.clone(),
        }
    }
}

/// With a backslash before this quote, or before another backslash, left out.
pub(super) fn unescaped(raw: &str, quote: Option<char>) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(char) = chars.next() {
        let escaped = chars.next_if(|next| char == '\\' && (*next == '\\' || Some(*next) == quote));
        text.push(escaped.unwrap_or(char));
    }
    text
}

/// The words of these arguments. A backslash keeps a quote between quotes from ending the word.
pub(crate) fn words(arguments: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = arguments.trim_ascii_start();
    while let Some(first) = rest.chars().next() {
        let quote = Some(first).filter(|first| matches!(first, '"' | '\''));
        let start = quote.map_or(0, char::len_utf8);
        let body = rest.get(start..).unwrap_or_default();
        let end = match quote {
            Some(quote) => closing(body, quote),
            None => Some(body.find(|char: char| char.is_ascii_whitespace()).unwrap_or(body.len())),
        };
        let (raw, behind) = body.split_at_checked(end.unwrap_or(body.len())).unwrap_or((body, ""));
        words.push(Word { raw: raw.to_owned(), quote, is_closed: end.is_some() });
        rest = behind.get(start..).unwrap_or_default().trim_ascii_start();
    }
    words
}

/// Where the quote is that is not behind a backslash, which may be behind another itself.
pub(super) fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if char == quote => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_between_blanks_or_quotes() {
        for (arguments, expected) in [
            (r#"ARGS "@rx a \"b\" \d" "id:1,t:none""#, &["ARGS", r#"@rx a "b" \d"#, "id:1,t:none"][..]),
            (r#"ARGS "@rx \\" "id:1""#, &["ARGS", r"@rx \", "id:1"]),
            ("  'a b'\tc\"d ", &["a b", "c\"d"]),
            (r#""a""b""#, &["a", "b"]),
            ("\"open", &["open"]),
            ("é \"ü\"", &["é", "ü"]),
            (" ", &[]),
        ] {
            let words: Vec<_> = words(arguments).iter().map(Word::text).collect();
            assert_eq!(words, expected, "{arguments}");
        }
    }

    #[test]
    fn a_word_is_closed_by_a_quote_that_is_not_escaped() {
        for (arguments, is_closed) in [
            ("\"a\"", true),
            ("a", true),
            ("\"a", false),
            (r#""a\""#, false),
            (r#""a\\""#, true),
            (r#""a\\\""#, false),
            ("\"", false),
        ] {
            assert_eq!(words(arguments).iter().all(|word| word.is_closed), is_closed, "{arguments}");
        }
        assert_eq!(words(r#""\\d\"""#).first().unwrap().raw(), r#"\\d\""#);
    }
}
