//! All patterns that a value has to be searched for, in one pass.

use std::fmt;

use regex_syntax::hir::Hir;

use super::candidates::Candidates;
use super::expression::fold;
use super::literals::Literals;
use super::needs::{self, ByteSet};
use super::words::Words;

/// A set of literals that is expected at more places of a clean value than this is not searched for.
const FREQUENT: f64 = 0.01;
/// Sets of bytes that patterns need: as many as there are bits.
const SETS: usize = 128;
/// Bytes that the copy of a value keeps between values.
const KEPT: usize = 64 << 10;

/// What a scanner has to know of an operator: when it might match.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// It has to be asked about every value.
    Always,
    /// It matches no value.
    Never,
    /// It matches only values that, folded, have one of these literals.
    Words(Literals),
    /// It matches only values in which, folded, a text of this language is found.
    Language(Hir),
}

/// Why there is no scanner: the automaton for the patterns would be too large.
#[derive(Debug)]
pub struct TooLarge(String);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many patterns for one automaton: {}", self.0)
    }
}

impl std::error::Error for TooLarge {}

/// Finds the patterns that might match a value, without regard to the case of its letters: a value and the same in lower
/// case have the same candidates. Made once and shared.
#[derive(Debug)]
pub struct Scanner {
    words: Words,
    /// For each byte, a bit for each of the sets that it is in.
    marks: Box<[u128; 256]>,
    /// For each pattern, the bits of the sets of which its matches have a byte.
    needs: Vec<u128>,
    /// The patterns that are not searched for by literals.
    others: Vec<u32>,
    /// The patterns that are candidates for every value.
    always: Candidates,
}

/// What one user of a [`Scanner`] adds; [`ScannerCache::memory`] is bounded.
#[derive(Debug)]
pub struct ScannerCache {
    folded: Vec<u8>,
    found: Candidates,
}

impl Scanner {
    /// A scanner for these patterns; candidates are their numbers in this order, from 0.
    ///
    /// # Errors
    /// When the automaton would be too large.
    pub fn new(patterns: &[Pattern]) -> Result<Self, TooLarge> {
        let mut always = Candidates::new(patterns.len());
        let mut words: Vec<(usize, Literals)> = Vec::new();
        let mut others = Vec::new();
        let mut sets: Vec<ByteSet> = Vec::new();
        let mut needs = Vec::with_capacity(patterns.len());
        for (number, pattern) in patterns.iter().enumerate() {
            let mut need = 0;
            match pattern {
                Pattern::Always => always.insert(number),
                Pattern::Never => {}
                Pattern::Words(literals) => words.push((number, literals.clone())),
                Pattern::Language(language) => {
                    for set in needs::of(language) {
                        need |= bit_of(set, &mut sets);
                    }
                    match Literals::required_by(language) {
                        Some(literals) if literals.frequency <= FREQUENT => words.push((number, literals)),
                        _ if need == 0 => always.insert(number),
                        _ => others.extend(u32::try_from(number)),
                    }
                }
            }
            needs.push(need);
        }
        let mut marks = Box::new([0; 256]);
        for (byte, marks) in (0..=u8::MAX).zip(marks.iter_mut()) {
            *marks = sets.iter().rev().fold(0, |bits, set| bits << 1 | u128::from(set.contains(byte)));
        }
        let literals = words
            .iter()
            .flat_map(|(number, set)| set.literals.iter().map(move |literal| (*number, literal.as_slice())));
        let words = Words::new(literals).map_err(|error| TooLarge(error.to_string()))?;
        Ok(Self { words, marks, needs, others, always })
    }

    /// What one user of this scanner needs.
    #[must_use]
    pub fn cache(&self) -> ScannerCache {
        ScannerCache { folded: Vec::new(), found: Candidates::new(self.needs.len()) }
    }

    /// Makes `candidates` the patterns that might match `value`; no other does.
    pub fn scan(&self, cache: &mut ScannerCache, value: &[u8], candidates: &mut Candidates) {
        candidates.become_like(&self.always);
        cache.found.clear();
        cache.folded.shrink_to(KEPT);
        fold(value, &mut cache.folded);
        let marked = self.words.scan(&cache.folded, &self.marks, &mut cache.found);
        let has_all = |number: usize| self.needs.get(number).is_some_and(|need| need & !marked == 0);
        candidates.extend(cache.found.iter().filter(|number| has_all(*number)));
        candidates
            .extend(self.others.iter().map(|number| *number as usize).filter(|number| has_all(*number)));
    }

    /// Bytes of memory that all users share.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.words.memory() + size_of_val(&*self.marks) + self.needs.len() * size_of::<u128>()
    }

    /// The patterns of each kind: searched for by literals, by the bytes that they need, and always candidates.
    #[must_use]
    pub fn kinds(&self) -> (usize, usize, usize) {
        (self.words.patterns(), self.others.len(), self.always.iter().count())
    }
}

/// The bit of a set; none when all bits have their sets.
fn bit_of(set: ByteSet, sets: &mut Vec<ByteSet>) -> u128 {
    let place = sets.iter().position(|known| *known == set).unwrap_or(sets.len());
    if place == sets.len() {
        if place >= SETS {
            return 0;
        }
        sets.push(set);
    }
    1 << place
}

impl ScannerCache {
    /// Bytes of memory at this time: at most 64 KB, or the length of the last value if it is longer.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.folded.capacity()
    }
}
