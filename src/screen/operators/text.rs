//! Operators that compare a value with a text, byte by byte.

use crate::rules::version::EngineVersion;
use crate::screen::automaton::Pattern;
use crate::screen::automaton::literals::Literals;

/// A comparison, and the text.
#[derive(Debug)]
pub(super) struct Text {
    comparison: Comparison,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    BeginsWith,
    Contains,
    /// A word by the rules of ModSecurity 2.9: letters, digits and `_` make words.
    ContainsWord2,
    /// A word by those of libmodsecurity 3: letters make words.
    ContainsWord3,
    EndsWith,
    Equals,
    Within,
}

impl Text {
    /// The operator of this name in small letters, if it is one of these.
    pub(super) fn new(name: &str, text: &[u8], version: EngineVersion) -> Option<Self> {
        let comparison = match (name, version) {
            ("beginswith", _) => Comparison::BeginsWith,
            ("contains", _) | ("strmatch", EngineVersion::V3) => Comparison::Contains,
            ("containsword", EngineVersion::V2) => Comparison::ContainsWord2,
            ("containsword", EngineVersion::V3) => Comparison::ContainsWord3,
            ("endswith", _) => Comparison::EndsWith,
            ("streq", _) => Comparison::Equals,
            ("within", _) => Comparison::Within,
            _ => return None,
        };
        Some(Self { comparison, text: text.to_vec() })
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        let text = self.text.as_slice();
        match self.comparison {
            Comparison::BeginsWith => value.starts_with(text),
            Comparison::Contains => contains(value, text),
            Comparison::ContainsWord2 => contains_word2(value, text),
            Comparison::ContainsWord3 => contains_word3(value, text),
            Comparison::EndsWith => value.ends_with(text),
            Comparison::Equals => value == text,
            Comparison::Within => contains(text, value),
        }
    }

    /// All but one of them match only a value that has the text.
    pub(super) fn pattern(&self) -> Pattern {
        match self.comparison {
            Comparison::Within => Pattern::Always,
            _ => Literals::new([self.text.to_ascii_lowercase()]).map_or(Pattern::Always, Pattern::Words),
        }
    }
}

/// Whether `part` stands in `whole`; the empty one does.
fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}

/// Where `part`, which is not empty, stands in `whole`.
fn places<'a>(whole: &'a [u8], part: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    whole.windows(part.len()).enumerate().filter(move |(_, window)| *window == part).map(|(place, _)| place)
}

fn contains_word2(value: &[u8], word: &[u8]) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    word.is_empty()
        || places(value, word).any(|start| {
            let before = start.checked_sub(1).and_then(|before| value.get(before));
            !is_word(before) && !is_word(value.get(start + word.len()))
        })
}

/// At the start a byte has to follow that is no letter, at the end one has to stand before, else both.
fn contains_word3(value: &[u8], word: &[u8]) -> bool {
    let is_apart = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii_alphabetic());
    if word.is_empty() || value == word {
        return true;
    }
    if value.is_empty() {
        return false;
    }
    places(value, word).any(|start| {
        let end = start + word.len();
        let before = start.checked_sub(1).and_then(|before| value.get(before));
        (start == 0 && is_apart(value.get(end)))
            || (end == value.len() && is_apart(before))
            || (is_apart(before) && is_apart(value.get(end)))
    })
}
