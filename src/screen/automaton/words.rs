//! The patterns that require literals, searched by one Aho-Corasick automaton. It is built once and never grows, so that
//! processes that are forked share it.

use std::collections::BTreeMap;
use std::error::Error;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, StartKind};

use super::candidates::Candidates;

/// Which patterns require a literal that a value has.
#[derive(Debug)]
pub(super) struct Words {
    automaton: DFA,
    start: StateID,
    /// The patterns of each literal.
    owners: Vec<Box<[u32]>>,
}

impl Words {
    /// An automaton for the literals of these patterns; each is a pattern's number with one of its literals.
    pub(super) fn new<'a>(
        literals: impl IntoIterator<Item = (usize, &'a [u8])>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut owners: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for (pattern, literal) in literals {
            owners.entry(literal).or_default().push(u32::try_from(pattern).unwrap_or(u32::MAX));
        }
        let automaton =
            DFA::builder().start_kind(StartKind::Unanchored).prefilter(false).build(owners.keys())?;
        let start = automaton.start_state(Anchored::No)?;
        Ok(Self { automaton, start, owners: owners.into_values().map(Vec::into_boxed_slice).collect() })
    }

    /// Adds the patterns of which `folded` has a literal, and returns the marks of its bytes together.
    pub(super) fn scan(&self, folded: &[u8], marks: &[u128; 256], candidates: &mut Candidates) -> u128 {
        let mut marked = 0;
        let mut state = self.start;
        for &byte in folded {
            marked |= marks.get(usize::from(byte)).copied().unwrap_or_default();
            state = self.automaton.next_state(Anchored::No, state, byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                for index in 0..self.automaton.match_len(state) {
                    let literal = self.automaton.match_pattern(state, index).as_usize();
                    let owners = self.owners.get(literal).map(AsRef::as_ref).unwrap_or_default();
                    candidates.extend(owners.iter().map(|&owner| owner as usize));
                }
            }
        }
        marked
    }

    /// How many patterns require literals.
    pub(super) fn patterns(&self) -> usize {
        self.owners.iter().flat_map(|owners| owners.iter()).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Bytes of memory, shared by all who use it.
    pub(super) fn memory(&self) -> usize {
        let owners: usize = self.owners.iter().map(|owners| owners.len() * 4 + size_of::<Box<[u32]>>()).sum();
        self.automaton.memory_usage() + owners
    }
}
