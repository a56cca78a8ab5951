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

/// The words of a directive's arguments, as this engine reads them.
///
/// A backslash keeps a quote between quotes from ending the word. In ModSecurity 3 a value between single quotes in a list
/// of actions may have double quotes.
pub(crate) fn words(name: &str, arguments: &str, version: EngineVersion) -> Vec<Word> {
    let has_actions = match version {
        EngineVersion::V2 => None,
        EngineVersion::V3 => actions_in(name),
    };
    let mut words = Vec::new();
    let mut rest = arguments.trim_ascii_start();
    while let Some(first) = rest.chars().next() {
        let quote = Some(first).filter(|first| matches!(first, '"' | '\''));
        let start = quote.map_or(0, char::len_utf8);
        let body = rest.get(start..).unwrap_or_default();
        let end = match quote {
            Some('"') if has_actions.is_some_and(|first| words.len() >= first) => closing_actions(body),
            Some(quote) => closing(body, quote),
            None => Some(body.find(|char: char| char.is_ascii_whitespace()).unwrap_or(body.len())),
        };
        let (raw, behind) = body.split_at_checked(end.unwrap_or(body.len())).unwrap_or((body, ""));
        words.push(Word { raw: raw.to_owned(), quote, is_closed: end.is_some() });
        rest = behind.get(start..).unwrap_or_default().trim_ascii_start();
    }
    words
}

/// The first word that can have the actions of this directive.
fn actions_in(name: &str) -> Option<usize> {
    match name.to_ascii_lowercase().as_str() {
        "secaction" | "secdefaultaction" => Some(0),
        "secrulescript" | "secruleupdateactionbyid" => Some(1),
        "secrule" => Some(2),
        _ => None,
    }
}

/// Where the double quote is that ends a list of actions. A value that is not closed protects no quote.
fn closing_actions(list: &str) -> Option<usize> {
    let mut end = 0;
    loop {
        let rest = list.get(end..)?;
        let quote = closing(rest, '"')?;
        let Some(open) = rest.find(":'").filter(|open| *open < quote) else { return Some(end + quote) };
        let Some(length) = rest.get(open + 2..).and_then(|value| closing(value, '\'')) else {
            return closing(list, '"');
        };
        end += open + 2 + length + 1;
    }
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
            let words: Vec<_> =
                words("SecRule", arguments, EngineVersion::V2).iter().map(Word::text).collect();
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
            let words = words("Include", arguments, EngineVersion::V3);
            assert_eq!(words.iter().all(|word| word.is_closed), is_closed, "{arguments}");
        }
        let words = words("Include", r#""\\d\"""#, EngineVersion::V3);
        assert_eq!(words.first().unwrap().raw(), r#"\\d\""#);
    }

    #[test]
    fn modsecurity_3_has_double_quotes_in_the_values_of_actions() {
        let raw = |name, arguments, version| -> Vec<String> {
            words(name, arguments, version).iter().map(|word| word.raw().to_owned()).collect()
        };
        let actions = r#""id:1,msg:'a "b, c" d',tag:'"',deny" x"#;
        let whole = r#"id:1,msg:'a "b, c" d',tag:'"',deny"#;
        assert_eq!(raw("SecAction", actions, EngineVersion::V3), [whole, "x"]);
        assert_eq!(raw("SecAction", actions, EngineVersion::V2)[0], "id:1,msg:'a ");
        let rule = format!(r#"ARGS "@rx a:'b" {actions}"#);
        assert_eq!(raw("secrule", &rule, EngineVersion::V3), ["ARGS", "@rx a:'b", whole, "x"]);
        assert_eq!(raw("SecAction", r#""msg:'a" "b""#, EngineVersion::V3), ["msg:'a", "b"]);
    }
}
