//! Many patterns searched in one pass over a value: a superset of the patterns that match.
//!
//! An [`expression`] is read into a language that holds at least what PCRE2 matches. Most languages require one of a few
//! [`literals`], all of which one Aho-Corasick automaton finds, and bytes of certain kinds. A pattern that is no candidate
//! does not match; whether a candidate does, its operator knows.
//!
//! There is no automaton for the whole languages. A lazy DFA of the 37 patterns of the Core Rule Set 3.3.4 whose literals
//! say little needs 5 ns a byte for a text that it has seen, and several µs a byte for another text, whose states it has
//! to make first; PCRE2 needs 0.1 µs a byte for all 37 of them, whatever the text, and nothing is kept.

mod candidates;
pub mod expression;
pub mod literals;
mod needs;
mod scanner;
mod words;

pub use candidates::Candidates;
pub use scanner::{Pattern, Scanner, ScannerCache, TooLarge};
