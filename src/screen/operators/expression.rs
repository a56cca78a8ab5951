//! `@rx`: PCRE2 decides, with the options and limits of the engine.

use std::ops::Range;

use regex_syntax::hir::Hir;

use super::{Context, Match, NotModelled};
use crate::ffi::pcre2::{self, Expression, Options, Room, Search};
use crate::rules::version::EngineVersion;
use crate::screen::automaton::{Pattern, expression};

/// What ModSecurity 2.9 was built with, and uses where the files set no limit.
const DEFAULT_LIMIT: u32 = 1500;
/// Steps of one search, of which a clean value takes few. Where the engine would go on, it has to.
const MOST: u32 = 20_000;

/// Values as clean requests have them. An expression that matches more than [`FEW`] of them is asked about every value.
const TYPICAL: [&str; 8] = [
    "checkout",
    "1234567",
    "/products/shoes/running-shoe-42.html",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "GA1.2.1466532712.1718793622",
    "jane.doe@example.com",
    "I'd like to order two of the blue ones (size 42), and please send the invoice to my office; thanks.",
];
const FEW: usize = 2;

/// A regular expression.
#[derive(Debug)]
pub(super) struct Rx {
    expression: Expression,
    /// A superset of what it matches; `None` when it has something that the reader does not know.
    language: Option<Hir>,
}

impl Rx {
    /// `None` for one that libmodsecurity 3 takes although it does not compile: it never matches.
    pub(super) fn compile(argument: &[u8], context: &Context<'_>) -> Result<Option<Self>, NotModelled> {
        let (options, match_limit, depth_limit) = match context.version {
            EngineVersion::V2 => (
                Options::DOTALL | Options::DOLLAR_ENDONLY,
                context.match_limit.filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT).min(MOST),
                Some(context.depth_limit.filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT)),
            ),
            EngineVersion::V3 => (Options::DOTALL | Options::MULTILINE, MOST, None),
        };
        let expression = match Expression::compile(argument, options, Some(match_limit), depth_limit) {
            Ok(expression) => expression,
            Err(_) if context.version == EngineVersion::V3 => return Ok(None),
            Err(error) => return Err(NotModelled(format!("@rx: {error}"))),
        };
        let language = if pcre2::lines_end_with_line_feed() {
            expression::read(argument, expression::Options::of_rx(context.version)).ok()
        } else {
            None
        };
        Ok(Some(Self { expression, language }))
    }

    pub(super) fn matches(&self, room: &mut Room, value: &[u8]) -> Match {
        found(self.expression.search(room, value))
    }

    pub(super) fn captures(
        &self,
        room: &mut Room,
        value: &[u8],
        groups: &mut Vec<Option<Range<usize>>>,
    ) -> Match {
        found(self.expression.captures(room, value, groups))
    }

    /// What matches clean values as well, like `^.`, is not worth a search before PCRE2's.
    pub(super) fn pattern(&self) -> Pattern {
        let mut room = Room::new();
        let matching = TYPICAL.iter().filter(|value| self.matches(&mut room, value.as_bytes()) != Match::No);
        match &self.language {
            Some(language) if matching.count() <= FEW => Pattern::Language(language.clone()),
            _ => Pattern::Always,
        }
    }
}

/// A search that gave up is no match for either engine, but one that ModSecurity 2.9 makes known.
fn found(search: Search) -> Match {
    match search {
        Search::Found => Match::Yes,
        Search::NotFound => Match::No,
        Search::GivenUp => Match::MaybeYes,
    }
}
