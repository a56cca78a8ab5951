//! All patterns that a value has to be searched for, in one pass.

use std::fmt;

use regex_syntax::hir::Hir;

use super::candidates::Candidates;
use super::expression::fold;
use super::literals::Literals;
use super::states::{States, StatesCache};
use super::words::Words;

/// A set of literals that is expected at more places of a clean value than this is not searched for alone.
const FREQUENT: f64 = 2e-4;

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
    states: Option<States>,
    /// The patterns that are candidates for every value.
    always: Candidates,
}

/// What one user of a [`Scanner`] adds; [`ScannerCache::memory`] is bounded.
#[derive(Debug)]
pub struct ScannerCache {
    folded: Vec<u8>,
    states: Option<StatesCache>,
}

impl Scanner {
    /// A scanner for these patterns; candidates are their numbers in this order, from 0.
    ///
    /// # Errors
    /// When the automaton would be too large.
    pub fn new(patterns: &[Pattern]) -> Result<Self, TooLarge> {
        let mut always = Candidates::new(patterns.len());
        let mut words: Vec<(usize, Literals)> = Vec::new();
        let mut states = Vec::new();
        for (number, pattern) in patterns.iter().enumerate() {
            match pattern {
                Pattern::Always => always.insert(number),
                Pattern::Never => {}
                Pattern::Words(literals) => words.push((number, literals.clone())),
                Pattern::Language(language) => match Literals::required_by(language) {
                    Some(literals) if literals.frequency <= FREQUENT => words.push((number, literals)),
                    _ => states.push((number, language.clone())),
                },
            }
        }
        let literals = words
            .iter()
            .flat_map(|(number, set)| set.literals.iter().map(move |literal| (*number, literal.as_slice())));
        let words = Words::new(literals).map_err(|error| TooLarge(error.to_string()))?;
        let states = if states.is_empty() { None } else { Some(States::new(states, patterns.len())) };
        let states = states.transpose().map_err(|error| TooLarge(error.to_string()))?;
        Ok(Self { words, states, always })
    }

    /// What one user of this scanner needs.
    #[must_use]
    pub fn cache(&self) -> ScannerCache {
        ScannerCache { folded: Vec::new(), states: self.states.as_ref().map(States::cache) }
    }

    /// Makes `candidates` the patterns that might match `value`; no other does.
    pub fn scan(&self, cache: &mut ScannerCache, value: &[u8], candidates: &mut Candidates) {
        candidates.become_like(&self.always);
        fold(value, &mut cache.folded);
        self.words.scan(&cache.folded, candidates);
        if let (Some(states), Some(own)) = (&self.states, &mut cache.states) {
            states.scan(own, &cache.folded, candidates);
        }
    }

    /// Bytes of memory that all users share.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.words.memory() + self.states.as_ref().map_or(0, States::memory)
    }

    /// The patterns of each kind: searched for by literals, by states, and always candidates.
    #[must_use]
    pub fn kinds(&self) -> (usize, usize, usize) {
        (self.words.patterns(), self.states.as_ref().map_or(0, States::patterns), self.always.iter().count())
    }
}

impl ScannerCache {
    /// Bytes of memory at this time: at most 2 MB and the longest value that was scanned.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.folded.capacity() + self.states.as_ref().map_or(0, StatesCache::memory)
    }
}
