//! The patterns that might match a value.

/// A set of patterns, by their numbers in the order in which the scanner got them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    words: Vec<u64>,
}

impl Candidates {
    /// An empty set for numbers below `patterns`.
    #[must_use]
    pub fn new(patterns: usize) -> Self {
        Self { words: vec![0; patterns.div_ceil(64)] }
    }

    /// Whether this pattern might match.
    #[must_use]
    pub fn contains(&self, pattern: usize) -> bool {
        self.words.get(pattern / 64).is_some_and(|word| word & (1 << (pattern % 64)) != 0)
    }

    /// The patterns that might match, the lowest number first.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let rest = std::iter::successors(Some(word), |rest| Some(rest & rest.wrapping_sub(1)));
            rest.take_while(|rest| *rest != 0).map(move |rest| index * 64 + rest.trailing_zeros() as usize)
        })
    }

    /// The patterns that are in both sets, the lowest number first.
    pub fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        self.words.iter().zip(&other.words).enumerate().flat_map(|(index, (&one, &two))| {
            let rest = std::iter::successors(Some(one & two), |rest| Some(rest & rest.wrapping_sub(1)));
            rest.take_while(|rest| *rest != 0).map(move |rest| index * 64 + rest.trailing_zeros() as usize)
        })
    }

    /// Adds a pattern; a number that the set has no place for is left out.
    pub fn insert(&mut self, pattern: usize) {
        if let Some(word) = self.words.get_mut(pattern / 64) {
            *word |= 1 << (pattern % 64);
        }
    }

    /// Makes this set the same as `other`.
    pub(super) fn become_like(&mut self, other: &Self) {
        self.words.clone_from(&other.words);
    }

    /// Makes it the empty set.
    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }
}

impl Extend<usize> for Candidates {
    fn extend<T: IntoIterator<Item = usize>>(&mut self, patterns: T) {
        patterns.into_iter().for_each(|pattern| self.insert(pattern));
    }
}
