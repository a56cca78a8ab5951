//! The operators of rules, for each version of the engine.
//!
//! An [`Operator`] says of a value whether the engine's operator matches it. [`Match::No`] is a proof; the other answers may
//! be wrong only towards a match. Where two ways of deciding could differ, the engine's own decides: its PCRE2 with its
//! options and limits, its libinjection.

mod addresses;
mod bytes;
mod expression;
mod injection;
mod numbers;
mod phrases;
mod text;

use std::fmt;
use std::ops::Range;
use std::path::Path;

use crate::ffi::pcre2::Room;
use crate::rules::version::EngineVersion;
use crate::screen::automaton::Pattern;
use addresses::Addresses;
use bytes::Bytes;
use expression::Rx;
use injection::Injection;
use numbers::Number;
use phrases::Phrases;
use text::Text;

/// Whether an operator matches a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The engine's does not: proven.
    No,
    /// The engine's does.
    Yes,
    /// Nobody knows without asking the engine.
    MaybeYes,
}

impl Match {
    fn from_exact(is_match: bool) -> Self {
        if is_match { Self::Yes } else { Self::No }
    }

    /// What the operator says with a `!` before it.
    fn negated(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Yes => Self::No,
            Self::MaybeYes => Self::MaybeYes,
        }
    }
}

/// What an operator has to know apart from its argument.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The engine that would run the rule.
    pub version: EngineVersion,
    /// The folder of the rule's file, in which files of phrases are.
    pub folder: &'a Path,
    /// `SecPcreMatchLimit` as it stands before the rule; only ModSecurity 2.9 has it.
    pub match_limit: Option<u32>,
    /// `SecPcreMatchLimitRecursion` as it stands before the rule; only ModSecurity 2.9 has it.
    pub depth_limit: Option<u32>,
}

/// Why an operator of a rule is not modelled: the rule has to be left to the engine whenever it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotModelled(pub String);

impl fmt::Display for NotModelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotModelled {}

/// An operator of a rule with its argument. Made once and shared.
#[derive(Debug)]
pub struct Operator {
    is_negated: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Always,
    Never,
    Rx(Box<Rx>),
    Phrases(Phrases),
    Text(Text),
    Number(Number),
    Bytes(Bytes),
    Addresses(Addresses),
    Injection(Injection),
}

/// What one user of operators needs: room for searches.
#[derive(Debug, Default)]
pub struct OperatorCache {
    room: Room,
}

impl Operator {
    /// The operator of this name, whatever its case, without the `@`. `argument` is the text behind it as the engine
    /// gets it, macros replaced by their values.
    ///
    /// # Errors
    /// When it is not modelled, or the engine would refuse it.
    pub fn compile(
        name: &str,
        argument: &[u8],
        is_negated: bool,
        context: &Context<'_>,
    ) -> Result<Self, NotModelled> {
        let version = context.version;
        let name = name.to_ascii_lowercase();
        let kind = match name.as_str() {
            _ if argument.contains(&0) => return Err(NotModelled(format!("@{name} with a zero byte"))),
            "unconditionalmatch" => Kind::Always,
            "nomatch" => Kind::Never,
            "rx" => Rx::compile(argument, context)?.map_or(Kind::Never, |rx| Kind::Rx(Box::new(rx))),
            "pm" => Kind::Phrases(Phrases::in_argument(argument, version)?),
            "pmfromfile" | "pmf" => Kind::Phrases(Phrases::in_files(argument, context)?),
            "detectsqli" | "detectxss" => Kind::Injection(Injection::new(&name, version)?),
            "ipmatch" => Kind::Addresses(Addresses::new(argument)?),
            _ => {
                if let Some(text) = Text::new(&name, argument, version) {
                    Kind::Text(text)
                } else if let Some(number) = Number::new(&name, argument, version) {
                    Kind::Number(number)
                } else {
                    Kind::Bytes(Bytes::new(&name, argument)?)
                }
            }
        };
        Ok(Self { is_negated, kind })
    }

    /// Whether it matches `value`.
    #[must_use]
    pub fn matches(&self, cache: &mut OperatorCache, value: &[u8]) -> Match {
        let found = match &self.kind {
            Kind::Always => Match::Yes,
            Kind::Never => Match::No,
            Kind::Rx(rx) => rx.matches(&mut cache.room, value),
            Kind::Phrases(phrases) => Match::from_exact(phrases.matches(value)),
            Kind::Text(text) => Match::from_exact(text.matches(value)),
            Kind::Number(number) => Match::from_exact(number.matches(value)),
            Kind::Bytes(bytes) => Match::from_exact(bytes.matches(value)),
            Kind::Addresses(addresses) => addresses.matches(value),
            Kind::Injection(injection) => injection.matches(value),
        };
        if self.is_negated { found.negated() } else { found }
    }

    /// Like [`Operator::matches`]; for a regular expression that matches and is not negated, `groups` gets where its groups
    /// matched: the whole match first, `None` for a group that took no part. It is emptied for all others.
    pub fn captures(
        &self,
        cache: &mut OperatorCache,
        value: &[u8],
        groups: &mut Vec<Option<Range<usize>>>,
    ) -> Match {
        groups.clear();
        match &self.kind {
            Kind::Rx(rx) if !self.is_negated => rx.captures(&mut cache.room, value, groups),
            _ => self.matches(cache, value),
        }
    }

    /// When it might match, for a [`Scanner`](crate::screen::automaton::Scanner).
    #[must_use]
    pub fn pattern(&self) -> Pattern {
        match &self.kind {
            Kind::Never if !self.is_negated => Pattern::Never,
            Kind::Always if self.is_negated => Pattern::Never,
            _ if self.is_negated => Pattern::Always,
            Kind::Rx(rx) => rx.pattern(),
            Kind::Phrases(phrases) => phrases.pattern(),
            Kind::Text(text) => text.pattern(),
            _ => Pattern::Always,
        }
    }
}
