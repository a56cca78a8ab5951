//! What is left of the rules when all that is the same for every request has been evaluated.

use crate::rules::directives::Place;

/// A condition that no clean request fulfils: that of a chain whose match would be seen or would change what others see.
#[derive(Clone, Debug)]
pub(in crate::screen) struct Guard {
    pub(in crate::screen) rule: Name,
    pub(in crate::screen) phase: u8,
    /// All must match, each for the targets that the one before it matched.
    pub(in crate::screen) steps: Vec<Step>,
}

/// How a rule is called in messages.
#[derive(Clone, Debug)]
pub(in crate::screen) struct Name {
    pub(in crate::screen) id: Option<i64>,
    pub(in crate::screen) place: Place,
}

/// A rule that nobody sees, and that writes what others read, or chooses the parser of the body.
#[derive(Clone, Debug)]
pub(in crate::screen) struct Writer {
    pub(in crate::screen) rule: Name,
    pub(in crate::screen) phase: u8,
    /// The last one has the effect.
    pub(in crate::screen) steps: Vec<Step>,
    pub(in crate::screen) effect: Effect,
}

/// What a writer does.
#[derive(Clone, Debug)]
pub(in crate::screen) enum Effect {
    /// Writes variables of `TX`.
    Tx(Vec<Write>),
    /// `ctl:requestBodyProcessor`.
    Processor(String),
    /// `ctl:forceRequestBodyVariable=On` in ModSecurity 2.
    ForceBody,
}

/// One condition of a chain.
#[derive(Clone, Debug)]
pub(in crate::screen) struct Step {
    pub(in crate::screen) parts: Vec<Part>,
    pub(in crate::screen) operator: Operator,
    pub(in crate::screen) transformations: Vec<String>,
    pub(in crate::screen) is_multi_match: bool,
    pub(in crate::screen) captures: bool,
    /// What it writes when it matches, whatever becomes of the chain.
    pub(in crate::screen) writes: Vec<Write>,
}

/// The operator of a condition.
#[derive(Clone, Debug)]
pub(in crate::screen) enum Operator {
    /// Without macros that depend on the request.
    Fixed { name: String, argument: String, is_negated: bool },
    /// With an argument that depends on the request.
    Template { name: String, argument: Template, is_negated: bool },
    /// Whether it matches is not known: it counts as one that does.
    Unknown,
}

/// A part of a target list.
#[derive(Clone, Debug)]
pub(in crate::screen) struct Part {
    pub(in crate::screen) source: Source,
    pub(in crate::screen) selector: Selector,
    /// The number of elements is looked at.
    pub(in crate::screen) is_counted: bool,
    /// What is left out.
    pub(in crate::screen) exclusions: Vec<Selector>,
}

/// What selects elements of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::screen) enum Selector {
    All,
    /// In lower case: capitals in the element's name make no difference.
    Name(String),
    /// To the letter.
    Exactly(String),
    /// A regular expression, which is caseless.
    Pattern(String),
}

/// Where values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::screen) enum Source {
    /// A variable of the request, by its name in capitals.
    Request(String),
    /// `TX` as earlier rules have written it for this request. With what is always in it: names in lower case.
    Tx { always: Vec<(String, String)> },
    /// `TX:0` to `TX:9`, a group of the condition before.
    Capture(usize),
    /// A fixed value.
    Fixed(String),
    /// The value that the condition before matched.
    MatchedVar,
    /// The name of it.
    MatchedName,
    /// Not known: anything may be in it.
    Unknown,
}

/// A text with macros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::screen) struct Template(pub(in crate::screen) Vec<Piece>);

/// A piece of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::screen) enum Piece {
    Text(String),
    /// A group of the condition before.
    Capture(usize),
    /// A variable of `TX`, in lower case, that depends on the request.
    Tx(String),
    MatchedVar,
    MatchedVarName,
    /// A header of the request, in lower case.
    Header(String),
    /// Not known.
    Unknown,
}

/// `setvar` of a variable in `TX`.
#[derive(Clone, Debug)]
pub(in crate::screen) struct Write {
    /// The name, in lower case where it is fixed.
    pub(in crate::screen) name: Template,
    pub(in crate::screen) value: Value,
}

/// What is written.
#[derive(Clone, Debug)]
pub(in crate::screen) enum Value {
    Text(Template),
    /// Added to what is there, or subtracted.
    Sum {
        template: Template,
        is_negative: bool,
    },
    Removed,
}

impl Template {
    /// The text, if nothing in it depends on the request.
    pub(in crate::screen) fn fixed(&self) -> Option<String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                _ => return None,
            }
        }
        Some(text)
    }

    /// The text before the first piece that depends on the request.
    pub(in crate::screen) fn prefix(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }
}

impl Guard {
    /// No request is ever proven not to fulfil it.
    pub(in crate::screen) fn is_never_decided(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.operator, Operator::Unknown))
    }
}
