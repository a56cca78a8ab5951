//! Guards with their operators made, and with all that is looked up by name replaced by numbers.

use std::path::Path;

use crate::rules::version::EngineVersion;
use crate::screen::compile::ir;
use crate::screen::compile::{Compiled, Settings, depends_on_body};
use crate::screen::operators::{Context, Operator};
use crate::screen::transformations::Transformation;

/// A guard.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) rule: ir::Name,
    /// It reads what differs between phase 1 and later ones, and stands in phase 1.
    pub(super) is_early: bool,
    pub(super) steps: Vec<Step>,
}

/// A rule with an effect that others depend on.
#[derive(Debug)]
pub(super) struct Writer {
    /// It reads what differs between phase 1 and later ones.
    pub(super) is_early: bool,
    pub(super) steps: Vec<Step>,
    pub(super) effect: ir::Effect,
}

/// A condition.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) parts: Vec<Part>,
    /// `None`: one of them is not modelled.
    pub(super) pipeline: Option<Vec<Transformation>>,
    pub(super) is_multi_match: bool,
    pub(super) operator: Test,
    pub(super) captures: bool,
    pub(super) writes: Vec<ir::Write>,
}

/// The operator of a condition.
#[derive(Debug)]
pub(super) enum Test {
    Fixed(Operator),
    /// It is made when the argument is known.
    Template {
        name: String,
        argument: ir::Template,
        is_negated: bool,
    },
    /// It counts as one that matches every value.
    Unknown,
}

/// A part of a target list.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) source: Source,
    pub(super) selector: Selector,
    pub(super) is_counted: bool,
    pub(super) exclusions: Vec<Selector>,
}

/// Where values come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The number of the variable in [`VARIABLES`](crate::screen::compile::VARIABLES).
    Request(usize),
    Tx {
        always: Vec<(String, String)>,
    },
    Capture(usize),
    Fixed(String),
    MatchedVar,
    MatchedName,
    Unknown,
}

/// What selects elements.
#[derive(Debug)]
pub(super) enum Selector {
    All,
    Name(Vec<u8>),
    Exactly(Vec<u8>),
    Pattern(Operator),
    /// An expression that is not modelled.
    Unknown,
}

/// What operators are made with.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    pub(super) version: EngineVersion,
    pub(super) settings: &'a Settings,
}

impl Maker<'_> {
    pub(super) fn guards(&self, compiled: &Compiled) -> Vec<Guard> {
        let guards = compiled.rules.guards.iter();
        let bound = guards.map(|guard| Guard {
            rule: guard.rule.clone(),
            is_early: guard.phase == 1 && guard.steps.iter().any(reads_body),
            steps: self.steps(&guard.steps, &guard.rule),
        });
        bound.collect()
    }

    pub(super) fn writers(&self, compiled: &Compiled) -> Vec<Writer> {
        let writers = compiled.rules.writers.iter();
        let bound = writers.map(|writer| Writer {
            is_early: writer.phase == 1 && writer.steps.iter().any(reads_body),
            steps: self.steps(&writer.steps, &writer.rule),
            effect: writer.effect.clone(),
        });
        bound.collect()
    }

    fn steps(&self, steps: &[ir::Step], rule: &ir::Name) -> Vec<Step> {
        let folder = rule.place.file.parent().unwrap_or(Path::new("/"));
        steps.iter().map(|step| self.step(step, folder)).collect()
    }

    fn context<'a>(&self, folder: &'a Path) -> Context<'a> {
        let limit = |limit| Some(limit).filter(|_| self.version == EngineVersion::V2);
        Context {
            version: self.version,
            folder,
            match_limit: limit(self.settings.pcre_match_limit),
            depth_limit: limit(self.settings.pcre_depth_limit),
        }
    }

    fn step(&self, step: &ir::Step, folder: &Path) -> Step {
        let make = |name: &str, argument: &str, is_negated| {
            let made = Operator::compile(name, argument.as_bytes(), is_negated, &self.context(folder));
            made.map_or(Test::Unknown, Test::Fixed)
        };
        let operator = match &step.operator {
            ir::Operator::Unknown => Test::Unknown,
            ir::Operator::Fixed { name, argument, is_negated } => make(name, argument, *is_negated),
            ir::Operator::Template { name, argument, is_negated } => {
                Test::Template { name: name.clone(), argument: argument.clone(), is_negated: *is_negated }
            }
        };
        let pipeline = step.transformations.iter().map(|name| Transformation::from_name(name)).collect();
        Step {
            parts: step.parts.iter().map(|part| self.part(part, folder)).collect(),
            pipeline,
            is_multi_match: step.is_multi_match,
            operator,
            captures: step.captures,
            writes: step.writes.clone(),
        }
    }

    fn part(&self, part: &ir::Part, folder: &Path) -> Part {
        let selector = |selector: &ir::Selector| match selector {
            ir::Selector::All => Selector::All,
            ir::Selector::Name(name) => Selector::Name(name.clone().into_bytes()),
            ir::Selector::Exactly(name) => Selector::Exactly(name.clone().into_bytes()),
            ir::Selector::Pattern(pattern) => {
                let caseless = format!("(?i){pattern}");
                let made = Operator::compile("rx", caseless.as_bytes(), false, &self.context(folder));
                made.map_or(Selector::Unknown, Selector::Pattern)
            }
        };
        let source = match &part.source {
            ir::Source::Request(name) => match crate::screen::compile::variable(name) {
                Some(number) => Source::Request(number),
                None => Source::Unknown,
            },
            ir::Source::Tx { always } => Source::Tx { always: always.clone() },
            ir::Source::Capture(group) => Source::Capture(*group),
            ir::Source::Fixed(text) => Source::Fixed(text.clone()),
            ir::Source::MatchedVar => Source::MatchedVar,
            ir::Source::MatchedName => Source::MatchedName,
            ir::Source::Unknown => Source::Unknown,
        };
        Part {
            source,
            selector: selector(&part.selector),
            is_counted: part.is_counted,
            exclusions: part.exclusions.iter().map(selector).collect(),
        }
    }
}

fn reads_body(step: &ir::Step) -> bool {
    step.parts.iter().any(|part| match &part.source {
        ir::Source::Request(name) => depends_on_body(name, part.is_counted),
        _ => false,
    })
}

/// An operator whose argument is known only now; `None`: it would take too long to make, or is not modelled.
pub(super) fn make_now(
    name: &str,
    argument: &[u8],
    is_negated: bool,
    version: EngineVersion,
) -> Option<Operator> {
    let context = Context { version, folder: Path::new("/"), match_limit: None, depth_limit: None };
    let is_cheap = CHEAP.iter().any(|cheap| name.eq_ignore_ascii_case(cheap));
    is_cheap.then(|| Operator::compile(name, argument, is_negated, &context).ok())?
}

/// Operators that are made without an automaton.
const CHEAP: [&str; 11] = [
    "eq",
    "ge",
    "gt",
    "le",
    "lt",
    "streq",
    "within",
    "contains",
    "beginsWith",
    "endsWith",
    "unconditionalMatch",
];
