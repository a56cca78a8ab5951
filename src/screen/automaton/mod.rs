//! Many patterns searched in one pass over a value: a superset of the patterns that match.
//!
//! An [`expression`] is read into a language that holds at least what PCRE2 matches. Most languages require one of a few
//! [`literals`], and the rest of the patterns are searched by an automaton whose states are made when they are needed
//! (a lazy DFA). A pattern that is no candidate does not match; whether a candidate does, its operator knows.

mod candidates;
pub mod expression;
pub mod literals;
mod scanner;
mod states;
mod words;

pub use candidates::Candidates;
pub use scanner::{Pattern, Scanner, ScannerCache, TooLarge};
