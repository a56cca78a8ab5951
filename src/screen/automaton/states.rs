//! The patterns whose literals are too short or too frequent to tell anything, searched by one automaton whose states are
//! made as values need them. They are kept in a cache of bounded size, which each user has for itself.

use std::error::Error;

use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Input, MatchKind, PatternSet};
use regex_syntax::hir::Hir;

use super::candidates::Candidates;

/// Bytes of the cache.
const CACHE: usize = 1 << 20;
/// After the cache has been full as often in one value, searching gives up where it makes less way than this.
const CLEARED: usize = 2;
const BYTES_PER_STATE: usize = 4;
/// Bytes of the automaton from which the states are made.
const MACHINE: usize = 8 << 20;

/// Which patterns match, of some.
#[derive(Debug)]
pub(super) struct States {
    automaton: DFA,
    /// The number of each pattern.
    numbers: Vec<usize>,
    all: Candidates,
}

/// What one user of [`States`] adds.
#[derive(Debug)]
pub(super) struct StatesCache {
    cache: Cache,
    found: PatternSet,
}

impl States {
    pub(super) fn new(
        patterns: Vec<(usize, Hir)>,
        total: usize,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (numbers, languages): (Vec<usize>, Vec<Hir>) = patterns.into_iter().unzip();
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(MACHINE))
            .shrink(false);
        let machine = thompson::Compiler::new().configure(config).build_many_from_hir(&languages);
        let config = Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(CLEARED))
            .minimum_bytes_per_state(Some(BYTES_PER_STATE));
        let automaton = DFA::builder().configure(config).build_from_nfa(machine?)?;
        let mut all = Candidates::new(total);
        all.extend(numbers.iter().copied());
        Ok(Self { automaton, numbers, all })
    }

    pub(super) fn cache(&self) -> StatesCache {
        StatesCache { cache: self.automaton.create_cache(), found: PatternSet::new(self.numbers.len()) }
    }

    /// Adds the patterns that match `folded`, or all of them when the search gives up.
    pub(super) fn scan(&self, cache: &mut StatesCache, folded: &[u8], candidates: &mut Candidates) {
        cache.found.clear();
        let input = Input::new(folded);
        match self.automaton.try_which_overlapping_matches(&mut cache.cache, &input, &mut cache.found) {
            Ok(()) => {
                let found = cache.found.iter().filter_map(|found| self.numbers.get(found.as_usize()));
                candidates.extend(found.copied());
            }
            Err(_) => candidates.add(&self.all),
        }
    }

    pub(super) fn patterns(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn memory(&self) -> usize {
        self.automaton.memory_usage()
    }
}

impl StatesCache {
    pub(super) fn memory(&self) -> usize {
        self.cache.memory_usage()
    }
}
