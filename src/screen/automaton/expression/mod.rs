//! Reads a regular expression as PCRE2 reads it (bytes, no UTF, the tables of the C locale) and gives a language for an
//! automaton that holds *at least* every text that PCRE2 finds a match in.
//!
//! The result is a superset where an automaton cannot say the same: look-around assertions are left out, a back-reference
//! stands for anything that its group can match, possessive and atomic groups may give back, and letters have no case:
//! the language is over bytes whose A–Z have become a–z ([`fold`]), which the searched values have to be as well. What
//! the reader does not know is an [`Unknown`], and PCRE2 has to be asked about every value.
//!
//! regex-syntax's own parser is not used: the two dialects write the same things differently (`[` in a class, `\v`, `\<`,
//! `$`, literal braces, bytes above 127), and each of these differences would be a miss.

mod class;
mod escape;
mod group;
mod repeat;
#[cfg(test)]
mod tests;

use std::fmt;

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Dot, Hir, HirKind, Look};

use crate::rules::version::EngineVersion;
use escape::Escape;

/// Groups within groups; a deeper expression is unknown. Reading is recursive, and rules are an operator's.
const DEPTH: u32 = 100;
/// Bytes of an expression; a longer one is unknown. The longest of the Core Rule Set has 12 KB.
const LENGTH: usize = 64 << 10;

/// The options of PCRE2 that change what an expression means; `(?…)` in it changes them from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Letters have no case (`i`). What a class leaves out depends on it.
    pub caseless: bool,
    /// `.` matches a line feed (`s`).
    pub dotall: bool,
    /// `^` and `$` match at lines (`m`).
    pub multiline: bool,
    /// Without `multiline`, `$` matches at the very end alone, not before a last line feed.
    pub dollar_endonly: bool,
    /// Blanks and `#` comments mean nothing (`x`): unknown here.
    extended: bool,
    /// Only named groups capture (`n`).
    no_auto_capture: bool,
}

impl Options {
    /// The options that this engine compiles the expressions of `@rx` with.
    #[must_use]
    pub fn of_rx(version: EngineVersion) -> Self {
        let is_2 = version == EngineVersion::V2;
        Self { dotall: true, multiline: !is_2, dollar_endonly: is_2, ..Self::default() }
    }
}

/// What the reader does not know, and where: bytes from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What stands there.
    pub what: &'static str,
    /// Bytes before it.
    pub offset: usize,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for Unknown {}

/// Makes A–Z a–z, as the values have to be in which the language of [`read`] is searched.
pub fn fold(value: &[u8], folded: &mut Vec<u8>) {
    folded.clear();
    folded.extend(value.iter().map(u8::to_ascii_lowercase));
}

/// The language of an expression, over folded bytes.
///
/// # Errors
/// When the expression has something that is not known here, or that PCRE2 would not compile.
pub fn read(expression: &[u8], options: Options) -> Result<Hir, Unknown> {
    if expression.len() > LENGTH {
        return Err(Unknown { what: "an expression this long", offset: LENGTH });
    }
    let mut reader = Reader {
        text: expression,
        at: 0,
        options,
        groups: Vec::new(),
        total: group::count(expression),
        depth: 0,
    };
    let language = reader.alternatives()?;
    if reader.at < expression.len() {
        return Err(reader.unknown("a parenthesis that closes nothing"));
    }
    Ok(language)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    options: Options,
    /// The languages of the groups, in the order of their parentheses; `None` until the group is closed.
    groups: Vec<Option<Hir>>,
    /// No fewer groups than the expression has.
    total: usize,
    depth: u32,
}

impl Reader<'_> {
    fn unknown(&self, what: &'static str) -> Unknown {
        Unknown { what, offset: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes past these bytes if they are next.
    fn take(&mut self, text: &[u8]) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Alternatives up to a closing parenthesis or the end. Options that are set within them end with them.
    fn alternatives(&mut self) -> Result<Hir, Unknown> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.unknown("groups this deep"));
        }
        let before = self.options;
        let mut alternatives = vec![self.sequence()?];
        while self.take(b"|") {
            alternatives.push(self.sequence()?);
        }
        self.options = before;
        self.depth -= 1;
        Ok(Hir::alternation(alternatives))
    }

    fn sequence(&mut self) -> Result<Hir, Unknown> {
        let mut parts = Vec::new();
        while let Some(byte) = self.peek() {
            if matches!(byte, b'|' | b')') {
                break;
            }
            if let Some(part) = self.part()? {
                parts.push(self.repeated(part)?);
            }
        }
        Ok(Hir::concat(parts))
    }

    /// One thing that may be repeated; `None` when it was something that cannot be, and matches nothing.
    fn part(&mut self) -> Result<Option<Hir>, Unknown> {
        let start = self.at;
        let Some(byte) = self.next() else { return Ok(None) };
        Ok(Some(match byte {
            b'(' => return self.group(),
            b'[' => class_of(&self.class()?),
            b'.' if self.options.dotall => Hir::dot(Dot::AnyByte),
            b'.' => Hir::dot(Dot::AnyByteExceptLF),
            b'^' if self.options.multiline => Hir::look(Look::StartLF),
            b'^' => Hir::look(Look::Start),
            b'$' => self.dollar(),
            b'\\' => return self.escape(),
            b'*' | b'+' | b'?' => {
                self.at = start;
                return Err(self.unknown("a repetition of nothing"));
            }
            byte => byte_of(byte),
        }))
    }

    /// Without either option it also matches before a last line feed, of which "before any" is the superset.
    fn dollar(&self) -> Hir {
        Hir::look(if self.options.dollar_endonly && !self.options.multiline {
            Look::End
        } else {
            Look::EndLF
        })
    }

    /// What stands behind a backslash, outside a class.
    fn escape(&mut self) -> Result<Option<Hir>, Unknown> {
        let start = self.at;
        let escape = self.escaped(false);
        Ok(Some(match escape? {
            Escape::Byte(byte) => byte_of(byte),
            Escape::Class(class) => class_of(&class),
            Escape::Look(look) => Hir::look(look),
            // A repetition behind it would be that of what stood before it.
            Escape::Nothing => return Ok(None),
            Escape::LineEnd => Hir::alternation(vec![
                Hir::literal(*b"\r\n"),
                class_of(&ranges(&[(0x0A, 0x0D), (0x85, 0x85)])),
            ]),
            Escape::Quoted => {
                let length =
                    self.rest().windows(2).position(|two| two == b"\\E").unwrap_or(self.rest().len());
                if length == 0 {
                    // Nothing is quoted, and what follows repeats what stood before: rare enough to be unknown.
                    self.at = start;
                    return Err(self.unknown("an empty quotation"));
                }
                return self.quotation(length).map(Some);
            }
            Escape::Reference(number) => {
                let group = self.groups.get(number.wrapping_sub(1));
                match group {
                    Some(Some(language)) => without_looks(language),
                    // Inside itself, or ahead.
                    _ => anything(),
                }
            }
        }))
    }

    /// `\Q…\E`: bytes that mean themselves. A repetition behind it is that of the last.
    fn quotation(&mut self, length: usize) -> Result<Hir, Unknown> {
        let mut bytes: Vec<u8> = self.rest().iter().take(length).map(u8::to_ascii_lowercase).collect();
        self.at += length;
        self.take(b"\\E");
        let last = bytes.pop().map_or_else(Hir::empty, byte_of);
        let last = self.repeated(last)?;
        Ok(Hir::concat(vec![Hir::literal(bytes), last]))
    }
}

/// Any bytes, or none.
fn anything() -> Hir {
    repeat::any_number(Hir::dot(Dot::AnyByte))
}

fn byte_of(byte: u8) -> Hir {
    Hir::literal([byte.to_ascii_lowercase()])
}

/// The class, folded.
fn class_of(class: &ClassBytes) -> Hir {
    Hir::class(Class::Bytes(folded(class)))
}

/// The bytes that the members of a class become when a value is folded.
fn folded(class: &ClassBytes) -> ClassBytes {
    let capitals = ClassBytes::new([ClassBytesRange::new(b'A', b'Z')]);
    let mut small = class.clone();
    small.difference(&capitals);
    for range in class.iter() {
        for capital in b'A'..=b'Z' {
            if (range.start()..=range.end()).contains(&capital) {
                small.push(ClassBytesRange::new(capital.to_ascii_lowercase(), capital.to_ascii_lowercase()));
            }
        }
    }
    small
}

fn ranges(ranges: &[(u8, u8)]) -> ClassBytes {
    ClassBytes::new(ranges.iter().map(|&(start, end)| ClassBytesRange::new(start, end)))
}

/// The language without its assertions about the surroundings: a back-reference repeats the text of a group, wherever it
/// stands.
fn without_looks(language: &Hir) -> Hir {
    let all = |subs: &[Hir]| subs.iter().map(without_looks).collect();
    match language.kind() {
        HirKind::Look(_) => Hir::empty(),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => language.clone(),
        HirKind::Repetition(repetition) => Hir::repetition(repetition.with(without_looks(&repetition.sub))),
        HirKind::Capture(capture) => without_looks(&capture.sub),
        HirKind::Concat(subs) => Hir::concat(all(subs)),
        HirKind::Alternation(subs) => Hir::alternation(all(subs)),
    }
}
