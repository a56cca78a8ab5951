//! The operators of each engine, and what is the matter with that of a rule.

use super::known::{By, By::Both, By::Three, By::Two, known};
use super::{Cause, Kind, expressions};
use crate::ffi::pcre2::Options;
use crate::rules::directives::words::Word;
use crate::rules::version::EngineVersion;
use Argument::{Expression, Nothing, Text, TextOrNothing};

/// What stands behind an operator's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// A regular expression.
    Expression,
    /// Something else.
    Text,
    /// Something, or nothing, which means the empty text.
    TextOrNothing,
    /// Nothing.
    Nothing,
}

const OPERATORS: [(&str, By, Argument); 40] = [
    ("beginsWith", Both, Text),
    ("contains", Both, Text),
    ("containsWord", Both, Text),
    ("detectSQLi", Both, Nothing),
    ("detectXSS", Both, Nothing),
    ("endsWith", Both, Text),
    ("eq", Both, Text),
    ("fuzzyHash", Both, Text),
    ("ge", Both, Text),
    ("geoLookup", Both, Nothing),
    ("gsbLookup", Both, Text),
    ("gt", Both, Text),
    ("inspectFile", Both, Text),
    ("ipMatch", Both, Text),
    ("ipMatchF", Both, Text),
    ("ipMatchFromFile", Both, Text),
    ("le", Both, Text),
    ("lt", Both, Text),
    ("noMatch", Two, Nothing),
    ("pm", Both, Text),
    ("pmf", Both, Text),
    ("pmFromFile", Both, Text),
    ("rbl", Both, Text),
    ("rsub", Both, Text),
    ("rx", Both, Expression),
    ("rxGlobal", Three, Expression),
    ("streq", Both, TextOrNothing),
    ("strmatch", Both, Text),
    ("unconditionalMatch", Both, Nothing),
    ("validateByteRange", Both, Text),
    ("validateDTD", Both, Text),
    ("validateHash", Both, Expression),
    ("validateSchema", Both, Text),
    ("validateUrlEncoding", Both, Nothing),
    ("validateUtf8Encoding", Both, Nothing),
    ("verifyCC", Both, Expression),
    ("verifyCPF", Both, Expression),
    ("verifySSN", Both, Expression),
    ("verifySVNR", Three, Expression),
    ("within", Both, Text),
];

/// The names that this engine knows.
pub fn names(version: EngineVersion) -> impl Iterator<Item = &'static str> {
    known(OPERATORS.iter().map(|(name, by, _)| (*name, *by)), version)
}

/// The operator of a rule, which stands in the second of its words and, in libmodsecurity 3, may have its argument in the
/// third.
pub(crate) struct Operator {
    /// The name behind the `@`; without one it is `rx`.
    name: Option<String>,
    /// What stands behind the name.
    pub(crate) argument: String,
    /// A `!` stands before it: the rule matches where the operator does not.
    pub(crate) is_negated: bool,
    /// The word that has the rule's actions.
    pub(crate) actions: usize,
}

impl Operator {
    /// The operator among the words of a rule, as this engine reads them.
    pub(crate) fn read(words: &[Word], version: EngineVersion) -> Option<Self> {
        let word = words.get(1)?;
        let text = word.as_read_by(version);
        let text = match version {
            EngineVersion::V2 => &text,
            EngineVersion::V3 => text.trim_start_matches([' ', '\t']),
        };
        let is_negated = text.starts_with('!');
        let text = text.strip_prefix('!').map_or(text, str::trim_ascii_start);
        let Some(named) = text.strip_prefix('@').filter(|named| is_name(named, version)) else {
            return Some(Self { name: None, argument: text.to_owned(), is_negated, actions: 2 });
        };
        let end = named.find(|char| ends_name(char, version)).unwrap_or(named.len());
        let (name, rest) = named.split_at_checked(end)?;
        let rest = match version {
            EngineVersion::V2 => rest.trim_ascii_start(),
            // One blank separates the two, others belong to the argument.
            EngineVersion::V3 => rest.strip_prefix(' ').unwrap_or(rest),
        };
        let mut operator =
            Self { name: Some(name.to_owned()), argument: rest.to_owned(), is_negated, actions: 2 };
        let is_apart = version == EngineVersion::V3 && word.quote.is_none();
        if let (true, Some(next)) = (is_apart && operator.kind() != Some(Nothing), words.get(2)) {
            operator.argument = next.raw().to_owned();
            operator.actions = 3;
        }
        Some(operator)
    }

    /// The name behind the `@`, as it is written; `rx` without one.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("rx")
    }

    fn kind(&self) -> Option<Argument> {
        let found = OPERATORS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(self.name()));
        found.map(|(_, _, argument)| *argument)
    }

    pub(super) fn check(&self, version: EngineVersion) -> Result<(), Cause> {
        let name = self.name();
        if !names(version).any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(Cause::unknown(Kind::Operator, name, names(version)));
        }
        let is_missing = self.argument.is_empty();
        match (self.kind(), version) {
            // It is taken for a regular expression, the name being a part of it.
            (Some(Nothing), EngineVersion::V3) if !self.argument.trim_matches(' ').is_empty() => {
                Err(Cause::Argument { operator: name.to_owned(), argument: self.argument.clone() })
            }
            (Some(TextOrNothing), EngineVersion::V2) | (Some(Nothing), _) | (None, _) => Ok(()),
            _ if is_missing => Err(Cause::NoArgument { operator: name.to_owned() }),
            (Some(Expression), _) => self.check_expression(version),
            (Some(Text | TextOrNothing), _) => Ok(()),
        }
    }

    fn check_expression(&self, version: EngineVersion) -> Result<(), Cause> {
        // What it will be is known when a request is there.
        if self.argument.contains("%{") {
            return Ok(());
        }
        let is_verification = self.name().to_ascii_lowercase().starts_with("verify");
        let options = match version {
            EngineVersion::V2 if !is_verification => Options::DOTALL | Options::DOLLAR_ENDONLY,
            _ => Options::DOTALL | Options::MULTILINE,
        };
        expressions::check(&format!("@{}", self.name()), &self.argument, options)
    }
}

/// Whether what stands behind an `@` is an operator's name. libmodsecurity 3 takes whatever it does not know for a regular
/// expression, which may begin so when no letter follows: `@\w+`.
fn is_name(text: &str, version: EngineVersion) -> bool {
    version == EngineVersion::V2 || text.starts_with(|char: char| char.is_ascii_alphabetic())
}

fn ends_name(char: char, version: EngineVersion) -> bool {
    match version {
        EngineVersion::V2 => char.is_ascii_whitespace(),
        EngineVersion::V3 => !char.is_ascii_alphanumeric(),
    }
}
