//! What the action `t:` does to a value before an operator sees it, exactly as each engine does it.
//!
//! The two engines share most of their code; where they differ, the function takes the [`EngineVersion`]. The functions
//! keep the engines' quirks (a path that ends in `a..` loses its last segment, 2.9 ends `cmdLine` at a zero byte): a
//! screen that is more correct than the engine proves nothing about the engine. tests/differential/transformations.rs
//! compares each with the engine's own function.
//!
//! # Bytes behind a value
//! ModSecurity 2.9 transforms a value in place, and some of its functions make it shorter without ending it with a zero
//! byte, while others ignore the length and read on to a zero byte. One after the other, the second sees what the
//! first has left behind the new end. [`Transformation::change_spoils`] says which pairs do that; where the first of
//! such a pair has changed a value, nobody can tell what the second one makes of it.

mod base64;
mod case;
mod command_line;
mod comments;
mod digest;
mod entities;
mod escapes;
pub(in crate::screen) mod hex;
mod nulls;
mod path;
mod unicode;
mod url;
mod whitespace;

use crate::rules::version::EngineVersion;

/// A transformation that both engines know. Those that are not among these, the screen does not model: `md5`, `urlEncode`,
/// `base64Encode`, `base64DecodeExt`, `sqlHexDecode`, `uppercase`, and the parities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transformation {
    /// `base64Decode`
    Base64Decode,
    /// `cmdLine`
    CmdLine,
    /// `compressWhitespace`
    CompressWhitespace,
    /// `cssDecode`
    CssDecode,
    /// `escapeSeqDecode`
    EscapeSeqDecode,
    /// `hexDecode`
    HexDecode,
    /// `hexEncode`
    HexEncode,
    /// `htmlEntityDecode`
    HtmlEntityDecode,
    /// `jsDecode`
    JsDecode,
    /// `length`
    Length,
    /// `lowercase`
    Lowercase,
    /// `none`. In a rule it also removes the transformations before it, which is for the reader of the rule to do.
    None,
    /// `normalizePath`, `normalisePath`
    NormalizePath,
    /// `normalizePathWin`, `normalisePathWin`
    NormalizePathWin,
    /// `removeComments`
    RemoveComments,
    /// `removeCommentsChar`
    RemoveCommentsChar,
    /// `removeNulls`
    RemoveNulls,
    /// `removeWhitespace`
    RemoveWhitespace,
    /// `replaceComments`
    ReplaceComments,
    /// `replaceNulls`
    ReplaceNulls,
    /// `sha1`: the 20 bytes of the digest
    Sha1,
    /// `trim`
    Trim,
    /// `trimLeft`
    TrimLeft,
    /// `trimRight`
    TrimRight,
    /// `urlDecode`
    UrlDecode,
    /// `urlDecodeUni`, without a `SecUnicodeMapFile`
    UrlDecodeUni,
    /// `utf8toUnicode`
    Utf8ToUnicode,
}

/// What a transformation has made of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The result is the value itself; what `out` holds says nothing.
    Unchanged,
    /// The result is in `out`, and differs from the value.
    Changed,
    /// The result cannot be told: the engine has the word.
    NotModelled,
}

/// Each name in a rule, without regard to its case, and what it stands for.
const NAMES: [(&str, Transformation); 29] = [
    ("base64Decode", Transformation::Base64Decode),
    ("cmdLine", Transformation::CmdLine),
    ("compressWhitespace", Transformation::CompressWhitespace),
    ("cssDecode", Transformation::CssDecode),
    ("escapeSeqDecode", Transformation::EscapeSeqDecode),
    ("hexDecode", Transformation::HexDecode),
    ("hexEncode", Transformation::HexEncode),
    ("htmlEntityDecode", Transformation::HtmlEntityDecode),
    ("jsDecode", Transformation::JsDecode),
    ("length", Transformation::Length),
    ("lowercase", Transformation::Lowercase),
    ("none", Transformation::None),
    ("normalisePath", Transformation::NormalizePath),
    ("normalisePathWin", Transformation::NormalizePathWin),
    ("normalizePath", Transformation::NormalizePath),
    ("normalizePathWin", Transformation::NormalizePathWin),
    ("removeComments", Transformation::RemoveComments),
    ("removeCommentsChar", Transformation::RemoveCommentsChar),
    ("removeNulls", Transformation::RemoveNulls),
    ("removeWhitespace", Transformation::RemoveWhitespace),
    ("replaceComments", Transformation::ReplaceComments),
    ("replaceNulls", Transformation::ReplaceNulls),
    ("sha1", Transformation::Sha1),
    ("trim", Transformation::Trim),
    ("trimLeft", Transformation::TrimLeft),
    ("trimRight", Transformation::TrimRight),
    ("urlDecode", Transformation::UrlDecode),
    ("urlDecodeUni", Transformation::UrlDecodeUni),
    ("utf8toUnicode", Transformation::Utf8ToUnicode),
];

impl Transformation {
    /// Every name that [`Transformation::from_name`] knows.
    pub fn names() -> impl Iterator<Item = (&'static str, Self)> {
        NAMES.into_iter()
    }

    /// The transformation of this name, in whatever case (both engines ignore it); `None` for one that is not modelled.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, found)| found)
    }

    /// Transforms a value. `out` is cleared first; its capacity is kept, so that a buffer that is used again costs no
    /// allocation. The result is never longer than six bytes a byte of the value, or 40.
    pub fn apply(self, version: EngineVersion, input: &[u8], out: &mut Vec<u8>) -> Applied {
        out.clear();
        match self {
            Self::Base64Decode => base64::decode(version, input, out),
            Self::CmdLine => command_line::normalize(version, input, out),
            Self::CompressWhitespace => whitespace::compress(version, input, out),
            Self::CssDecode => escapes::css_decode(version, input, out),
            Self::EscapeSeqDecode => escapes::c_decode(input, out),
            Self::HexDecode => hex::decode(input, out),
            Self::HexEncode => hex::encode(input, out),
            Self::HtmlEntityDecode => entities::decode(input, out),
            Self::JsDecode => escapes::js_decode(input, out),
            Self::Length => digest::length(input, out),
            Self::Lowercase => case::lower(input, out),
            Self::None => Applied::Unchanged,
            Self::NormalizePath => path::normalize(input, false, out),
            Self::NormalizePathWin => path::normalize(input, true, out),
            Self::RemoveComments => comments::remove(input, out),
            Self::RemoveCommentsChar => comments::remove_marks(input, out),
            Self::RemoveNulls => nulls::remove(input, out),
            Self::RemoveWhitespace => whitespace::remove(version, input, out),
            Self::ReplaceComments => comments::replace(input, out),
            Self::ReplaceNulls => nulls::replace(input, out),
            Self::Sha1 => digest::sha1(input, out),
            Self::Trim => whitespace::trim(input, true, true, out),
            Self::TrimLeft => whitespace::trim(input, true, false, out),
            Self::TrimRight => whitespace::trim(input, false, true, out),
            Self::UrlDecode => url::decode(input, out),
            Self::UrlDecodeUni => url::decode_with_unicode(input, out),
            Self::Utf8ToUnicode => unicode::escape(version, input, out),
        }
    }

    /// Whether the result of `later`, the transformations that follow in the same rule, cannot be told once this one has
    /// changed a value: this one leaves bytes behind the new end, and one of `later` reads them before another one has
    /// ended the value properly.
    #[must_use]
    pub fn change_spoils(self, version: EngineVersion, later: &[Self]) -> bool {
        version == EngineVersion::V2 && self.leaves_bytes_behind() && {
            let next = later.iter().find(|step| step.reads_on() || step.ends_value());
            next.is_some_and(|step| step.reads_on())
        }
    }

    /// Makes the value shorter without a zero byte at its new end (2.9).
    fn leaves_bytes_behind(self) -> bool {
        matches!(
            self,
            Self::CompressWhitespace
                | Self::RemoveComments
                | Self::RemoveNulls
                | Self::RemoveWhitespace
                | Self::ReplaceComments
        )
    }

    /// Reads behind the end of the value up to a zero byte (2.9).
    fn reads_on(self) -> bool {
        matches!(self, Self::Base64Decode | Self::CmdLine | Self::RemoveComments | Self::Utf8ToUnicode)
    }

    /// Ends its result with a zero byte, whatever was behind the value (2.9). Paths, entities and `hexDecode` do not where
    /// the value is empty.
    fn ends_value(self) -> bool {
        matches!(
            self,
            Self::Base64Decode
                | Self::CmdLine
                | Self::CssDecode
                | Self::EscapeSeqDecode
                | Self::HexEncode
                | Self::JsDecode
                | Self::Length
                | Self::RemoveCommentsChar
                | Self::Sha1
                | Self::UrlDecode
                | Self::UrlDecodeUni
                | Self::Utf8ToUnicode
        )
    }
}

/// How many bytes at the start are of a kind; for the longer part in blocks, which the compiler makes vector code of.
fn leading(text: &[u8], is_kind: impl Fn(u8) -> bool) -> usize {
    let (blocks, _) = text.as_chunks::<32>();
    let of_kind = |block: &&[u8; 32]| block.iter().fold(true, |all, &byte| all & is_kind(byte));
    let skipped = 32 * blocks.iter().take_while(of_kind).count();
    let rest = text.get(skipped..).unwrap_or_default();
    skipped + rest.iter().take_while(|&&byte| is_kind(byte)).count()
}

/// Whether a byte is white space to isspace(3) in the C locale, which the engines ask.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}
