//! `@pm` and `@pmFromFile`: phrases, each engine reading them in its own way, and searching them by an automaton that
//! misses some.

mod read;
mod tree;

use super::{Context, NotModelled};
use crate::rules::version::EngineVersion;
use crate::screen::automaton::Pattern;
use crate::screen::automaton::literals::Literals;
use tree::Tree;

/// The phrases of an operator.
#[derive(Debug)]
pub(super) struct Phrases {
    tree: Tree,
    phrases: Vec<Vec<u8>>,
}

impl Phrases {
    /// The phrases of `@pm`.
    pub(super) fn in_argument(argument: &[u8], version: EngineVersion) -> Result<Self, NotModelled> {
        Ok(Self::new(read::argument(argument, version)?, version))
    }

    /// The phrases of `@pmFromFile`.
    pub(super) fn in_files(argument: &[u8], context: &Context<'_>) -> Result<Self, NotModelled> {
        Ok(Self::new(read::files(argument, context)?, context.version))
    }

    fn new(phrases: Vec<Vec<u8>>, version: EngineVersion) -> Self {
        let tree = Tree::new(&phrases, version);
        let phrases = phrases.iter().map(|phrase| phrase.to_ascii_lowercase()).collect();
        Self { tree, phrases }
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        self.tree.finds(value)
    }

    pub(super) fn pattern(&self) -> Pattern {
        if self.phrases.is_empty() {
            return Pattern::Never;
        }
        Literals::new(self.phrases.iter().cloned()).map_or(Pattern::Always, Pattern::Words)
    }
}
