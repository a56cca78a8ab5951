//! What is wrong, where, and what was meant.

use std::fmt;

use super::suggestion::closest;
use crate::rules::directives::Place;

/// Faults that one error names; of the others it says how many there are.
const NAMED: usize = 5;

/// What an engine knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `@…`
    Operator,
    /// What a rule looks at.
    Variable,
    /// `t:…`
    Transformation,
    /// `deny` and such.
    Action,
    /// `ctl:…`
    Control,
}

impl Kind {
    /// What it is called, and what stands before its name.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Operator => ("operator", "@"),
            Self::Variable => ("variable", ""),
            Self::Transformation => ("transformation", "t:"),
            Self::Action => ("action", ""),
            Self::Control => ("action", "ctl:"),
        }
    }
}

/// What is wrong with a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The engine does not know the name.
    Unknown {
        /// Of what.
        kind: Kind,
        /// The name.
        name: String,
        /// What was meant, if that is plain.
        meant: Option<&'static str>,
    },
    /// A regular expression does not compile.
    Expression {
        /// What has it.
        owner: String,
        /// What the compiler says.
        error: String,
        /// The end of what it had read.
        before: String,
    },
    /// The operator needs an argument.
    NoArgument {
        /// The name as it is written.
        operator: String,
    },
    /// The operator takes no argument; the engine would look for its name.
    Argument {
        /// The name as it is written.
        operator: String,
        /// What it was given.
        argument: String,
    },
    /// The engine takes a regular expression for the name of an element.
    SelectorIsName {
        /// The variable.
        variable: String,
        /// The expression, with its slashes.
        selector: String,
    },
    /// A quote is not closed.
    OpenQuote {
        /// Which.
        quote: char,
    },
    /// A chain has no next rule.
    ChainWithoutEnd,
    /// The rule has no id.
    NoId,
    /// Another rule has its id.
    IdTaken {
        /// The id.
        id: i64,
        /// Where the other one stands.
        by: Place,
    },
}

impl Cause {
    pub(super) fn unknown(kind: Kind, name: &str, known: impl Iterator<Item = &'static str>) -> Self {
        Self::Unknown { kind, name: name.to_owned(), meant: closest(name, known) }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind, name, meant } => {
                let (what, sign) = kind.words();
                write!(f, "unknown {what} {sign}{}", name.escape_debug())?;
                meant.iter().try_for_each(|meant| write!(f, ", did you mean {sign}{meant}?"))
            }
            Self::Expression { owner, error, before } => {
                write!(f, "bad regular expression in {owner}: {error}, after \"{}\"", before.escape_debug())
            }
            Self::NoArgument { operator } => write!(f, "operator @{operator} has no argument"),
            Self::Argument { operator, argument } => {
                write!(f, "operator @{operator} takes no argument, and has \"{}\"", argument.escape_debug())
            }
            Self::SelectorIsName { variable, selector } => {
                let selector = selector.escape_debug();
                write!(
                    f,
                    "the engine takes {selector} for the name of an element of {variable}, for its =; write \\x3d"
                )
            }
            Self::OpenQuote { quote } => write!(f, "a quote ({quote}) is not closed"),
            Self::ChainWithoutEnd => f.write_str("the chain has no next rule"),
            Self::NoId => f.write_str("the rule has no id"),
            Self::IdTaken { id, by } => write!(f, "id {id} is that of the rule at {by} as well"),
        }
    }
}

/// A fault, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The directive.
    pub place: Place,
    /// What is wrong with it.
    pub cause: Cause,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.cause)
    }
}

/// All faults; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// In one line.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Faults {}
