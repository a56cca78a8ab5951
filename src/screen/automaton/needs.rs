//! Bytes of which every text of a language has at least one: a quote, and a bracket, and a digit. Most clean values lack
//! one of the bytes that an attack cannot do without, and what a value has costs two instructions a byte to know.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::literals::frequency;

/// Sets that are kept of one language, the rarest first.
const KEPT: usize = 4;
/// A set that is likelier than this to have a given byte of a clean value says too little.
const LIKELY: f64 = 0.3;

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    const NONE: Self = Self([0; 4]);

    fn with(mut self, byte: u8) -> Self {
        if let Some(word) = self.0.get_mut(usize::from(byte / 64)) {
            *word |= 1 << (byte % 64);
        }
        self
    }

    fn or(self, other: Self) -> Self {
        let (mut one, two) = (self.0, other.0);
        one.iter_mut().zip(two).for_each(|(one, two)| *one |= two);
        Self(one)
    }

    pub(super) fn contains(self, byte: u8) -> bool {
        self.0.get(usize::from(byte / 64)).is_some_and(|word| word & (1 << (byte % 64)) != 0)
    }

    fn likelihood(self) -> f64 {
        (0..=u8::MAX).filter(|&byte| self.contains(byte)).map(frequency).sum()
    }
}

/// Sets of each of which every text of the language has a byte: at most four, and none when there are none worth it.
pub(super) fn of(language: &Hir) -> Vec<ByteSet> {
    let mut sets = match language.kind() {
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(literal) => literal.0.iter().map(|&byte| ByteSet::NONE.with(byte)).collect(),
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class.iter().flat_map(|range| range.start()..=range.end());
            vec![bytes.fold(ByteSet::NONE, ByteSet::with)]
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut set = ByteSet::NONE;
            for range in class.iter() {
                // Each of the characters begins with one of the bytes that the characters of the range begin with.
                for byte in first_byte(range.start())..=first_byte(range.end()) {
                    set = set.with(byte);
                }
            }
            vec![set]
        }
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => of(&repetition.sub),
        HirKind::Repetition(_) => Vec::new(),
        HirKind::Concat(parts) => parts.iter().flat_map(of).collect(),
        HirKind::Alternation(alternatives) => {
            let rarest = alternatives.iter().map(|alternative| of(alternative).first().copied());
            let all: Option<Vec<ByteSet>> = rarest.collect();
            all.map(|sets| vec![sets.into_iter().fold(ByteSet::NONE, ByteSet::or)]).unwrap_or_default()
        }
    };
    sets.retain(|set| set.likelihood() < LIKELY);
    sets.sort_by(|one, other| one.likelihood().total_cmp(&other.likelihood()).then(one.cmp(other)));
    sets.dedup();
    sets.truncate(KEPT);
    sets
}

fn first_byte(char: char) -> u8 {
    let mut bytes = [0; 4];
    char.encode_utf8(&mut bytes);
    bytes[0]
}
