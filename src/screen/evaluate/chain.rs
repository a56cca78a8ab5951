//! Whether a chain of conditions may match: each target that one condition matches is followed through the others by itself.
//!
//! In the engine the last target that matched decides what later conditions read. Which one is the last depends on the
//! engine, so every one of them stands for it: what none of them makes match, the engine does not match either.

use super::program::{Part, Selector, Source, Step, Test, make_now};
use super::state::{Entry, EntryValue, Found, read};
use super::values::Values;
use crate::rules::version::EngineVersion;
use crate::screen::compile::ir::{Piece, Template, Value, Write};
use crate::screen::compile::number;
use crate::screen::operators::{Match, Operator, OperatorCache};
use crate::screen::transformations::{Applied, Transformation};

/// What is known of a request.
pub(super) struct Knowledge<'a> {
    pub(super) version: EngineVersion,
    pub(super) values: &'a Values<'a>,
    pub(super) headers: usize,
    /// What rules may have written in `TX`.
    pub(super) entries: &'a [Entry],
}

/// One way through the conditions of a chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    /// The groups of the last condition that captures; `None`: they are not known.
    groups: Option<Vec<Option<Vec<u8>>>>,
    /// Names and values of the targets that have matched, as they were and transformed.
    matched: Vec<(Vec<u8>, Vec<u8>)>,
    written: Vec<Entry>,
}

/// Work that one request may cost, in bytes that operators and transformations look at.
#[derive(Debug)]
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// Takes from it; returns whether there was enough.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes.saturating_add(16));
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Tools of one engine.
pub(super) struct Tools<'a> {
    pub(super) operators: &'a mut OperatorCache,
    pub(super) budget: &'a mut Budget,
}

/// Called with each way on which the conditions match; returns whether the search is over.
type Visit<'v> = dyn FnMut(&Way) -> bool + 'v;

/// Follows the conditions. Returns true when `end` does for some way, or when it is not known whether a condition matches
/// and how the others would read it.
pub(super) fn follow(
    steps: &[Step],
    way: &Way,
    knowledge: &Knowledge<'_>,
    tools: &mut Tools<'_>,
    end: &mut Visit<'_>,
) -> bool {
    let Some((step, rest)) = steps.split_first() else { return end(way) };
    let mut operator = None;
    if let Test::Template { name, argument, is_negated } = &step.operator {
        let argument = expand(argument, way, knowledge);
        operator = argument.and_then(|argument| make_now(name, &argument, *is_negated, knowledge.version));
    }
    let test = match &step.operator {
        Test::Fixed(operator) => Some(operator),
        Test::Template { .. } => operator.as_ref(),
        Test::Unknown => None,
    };
    for part in &step.parts {
        let is_over = each(part, way, knowledge, tools, &mut |name, raw, tools| {
            let mut next = |value: &[u8], tools: &mut Tools<'_>| match step_on(
                step,
                test,
                way,
                (name, raw, value),
                knowledge,
                tools,
            ) {
                Taken::No => false,
                Taken::Way(way) => follow(rest, &way, knowledge, tools, end),
            };
            transformed(step, raw, knowledge.version, tools, &mut next)
        });
        if is_over {
            return true;
        }
    }
    false
}

/// Follows the conditions behind the first one, which matches this value: `raw` as it was, `value` as it was transformed.
pub(super) fn follow_match(
    steps: &[Step],
    target: (&[u8], &[u8], &[u8]),
    knowledge: &Knowledge<'_>,
    tools: &mut Tools<'_>,
) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    let test = match &step.operator {
        Test::Fixed(operator) => Some(operator),
        _ => None,
    };
    match step_on(step, test, &Way::default(), target, knowledge, tools) {
        Taken::No => false,
        Taken::Way(_) if rest.is_empty() => true,
        Taken::Way(way) => follow(rest, &way, knowledge, tools, &mut |_| true),
    }
}

enum Taken {
    No,
    Way(Way),
}

/// The way behind a condition, if it may match this value.
fn step_on(
    step: &Step,
    test: Option<&Operator>,
    way: &Way,
    (name, raw, value): (&[u8], &[u8], &[u8]),
    knowledge: &Knowledge<'_>,
    tools: &mut Tools<'_>,
) -> Taken {
    // Without the budget it counts as a match.
    let has_budget = tools.budget.take(value.len());
    let mut groups = Vec::new();
    let found = match test {
        Some(operator) if has_budget && step.captures => {
            operator.captures(tools.operators, value, &mut groups)
        }
        Some(operator) if has_budget => operator.matches(tools.operators, value),
        _ => Match::MaybeYes,
    };
    if found == Match::No {
        return Taken::No;
    }
    let mut way = way.clone();
    if step.captures {
        let texts = groups.iter().map(|group| group.as_ref().and_then(|range| value.get(range.clone())));
        way.groups = (found == Match::Yes).then(|| texts.map(|text| text.map(<[u8]>::to_vec)).collect());
    }
    way.matched.push((name.to_vec(), value.to_vec()));
    if raw != value {
        way.matched.push((name.to_vec(), raw.to_vec()));
    }
    for write in &step.writes {
        let entry = entry(write, &way, knowledge);
        way.written.push(entry);
    }
    Taken::Way(way)
}

/// What a write may write.
pub(super) fn entry(write: &Write, way: &Way, knowledge: &Knowledge<'_>) -> Entry {
    let (mut name, mut is_beginning) = (Vec::new(), false);
    for piece in &write.name.0 {
        match text(piece, way, knowledge) {
            // Names with other than plain characters are escaped by one of the engines.
            Some(text) if text.iter().all(u8::is_ascii_graphic) => name.extend_from_slice(&text),
            _ => {
                is_beginning = true;
                break;
            }
        }
    }
    name.make_ascii_lowercase();
    let value = match &write.value {
        Value::Removed => Some(EntryValue::Unknown),
        Value::Text(template) => expand(template, way, knowledge).map(EntryValue::Text),
        Value::Sum { template, is_negative } => {
            let more =
                expand(template, way, knowledge).and_then(|text| number(std::str::from_utf8(&text).ok()?));
            more.map(|more| EntryValue::Sum(if *is_negative { -more } else { more }))
        }
    };
    Entry { name, is_beginning, value: value.unwrap_or(EntryValue::Unknown) }
}

/// The text with its macros replaced; `None`: it is not known.
fn expand(template: &Template, way: &Way, knowledge: &Knowledge<'_>) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for piece in &template.0 {
        all.extend_from_slice(&text(piece, way, knowledge)?);
    }
    Some(all)
}

fn text(piece: &Piece, way: &Way, knowledge: &Knowledge<'_>) -> Option<Vec<u8>> {
    match piece {
        Piece::Text(text) => Some(text.clone().into_bytes()),
        // A group that took no part may have the text of an earlier match.
        Piece::Capture(group) => way.groups.as_ref()?.get(*group)?.clone(),
        Piece::Tx(name) => {
            let mut of_way = way.written.iter().rev().filter(|entry| entry.name == name.as_bytes());
            match of_way.next() {
                Some(Entry { value: EntryValue::Text(text), is_beginning: false, .. }) => Some(text.clone()),
                _ => None,
            }
        }
        // One value only: the raw one and the transformed one may differ.
        Piece::MatchedVar => None,
        Piece::MatchedVarName => way.matched.last().map(|(name, _)| name.clone()),
        Piece::Header(name) => {
            let headers = knowledge.values.get(knowledge.headers)?;
            let mut named = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
            match (named.next(), named.next()) {
                (None, _) => Some(Vec::new()),
                (Some((_, value)), None) => Some(value.to_vec()),
                // Which one it is differs between the engines.
                _ => None,
            }
        }
        Piece::Unknown => None,
    }
}

/// Called with a value.
type Next<'n> = dyn FnMut(&[u8], &mut Tools<'_>) -> bool + 'n;

/// Calls `next` with the value as the operator of the condition sees it.
fn transformed(
    step: &Step,
    value: &[u8],
    version: EngineVersion,
    tools: &mut Tools<'_>,
    next: &mut Next<'_>,
) -> bool {
    let Some(pipeline) = &step.pipeline else { return true };
    if step.is_multi_match && next(value, tools) {
        return true;
    }
    let (mut current, mut out) = (value.to_vec(), Vec::new());
    let mut left_behind: Option<Transformation> = None;
    for transformation in pipeline {
        if !tools.budget.take(current.len()) {
            return true;
        }
        if left_behind.is_some_and(|earlier| earlier.change_spoils(version, &[*transformation])) {
            return true;
        }
        left_behind = left_behind
            .filter(|earlier| earlier.change_spoils(version, &[*transformation, Transformation::CmdLine]));
        match transformation.apply(version, &current, &mut out) {
            Applied::Unchanged => continue,
            Applied::NotModelled => return true,
            Applied::Changed => {
                std::mem::swap(&mut current, &mut out);
                if transformation.change_spoils(version, &[Transformation::CmdLine]) {
                    left_behind = Some(*transformation);
                }
                if step.is_multi_match && next(&current, tools) {
                    return true;
                }
            }
        }
    }
    next(&current, tools)
}

/// Called with the name and the value of an element.
type EachElement<'n> = dyn FnMut(&[u8], &[u8], &mut Tools<'_>) -> bool + 'n;

/// Calls `next` with each element of a part of a target list, until it returns true. Returns true as well when it is not known
/// what the part has.
fn each(
    part: &Part,
    way: &Way,
    knowledge: &Knowledge<'_>,
    tools: &mut Tools<'_>,
    next: &mut EachElement<'_>,
) -> bool {
    match &part.source {
        Source::Unknown => next(b"", b"", tools),
        Source::Fixed(text) => next(b"", text.as_bytes(), tools),
        Source::Capture(group) => match way.groups.as_ref().map(|groups| groups.get(*group)) {
            Some(Some(Some(text))) => next(b"TX", text, tools),
            // A group that does not exist, or took no part, may have the text of an earlier match.
            _ => true,
        },
        Source::MatchedVar => way.matched.iter().any(|(name, value)| next(name, value, tools)),
        // How the engine writes the name is not modelled.
        Source::MatchedName => true,
        Source::Request(variable) => {
            let Some(elements) = knowledge.values.get(*variable) else { return true };
            if !part.is_counted {
                return elements
                    .iter()
                    .filter(|(name, _)| part.may_cover(name, knowledge.version, tools.operators))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .any(|(name, value)| next(name, value, tools));
            }
            match part.count(elements.iter().map(|(name, _)| *name), tools.operators) {
                Some(count) => next(b"", count.to_string().as_bytes(), tools),
                None => true,
            }
        }
        Source::Tx { always } => {
            let mut selects = |name: &[u8], is_beginning: bool| {
                is_beginning || part.may_cover(name, knowledge.version, tools.operators)
            };
            // A name that the chain itself has written has that value, and no other.
            let own = way.written.iter().rev();
            let last = match &part.selector {
                Selector::Name(wanted) => {
                    own.clone().find(|entry| !entry.is_beginning && entry.name == *wanted)
                }
                _ => None,
            };
            let found = match last {
                Some(Entry { value: EntryValue::Sum(_), .. }) => Found::Unknown,
                Some(entry) if !part.is_counted => read(std::iter::once(entry), &[], &mut selects),
                _ => read(own.chain(knowledge.entries), always, &mut selects),
            };
            match found {
                Found::Unknown => true,
                Found::Values { most, .. } if part.is_counted => {
                    most > 64 || (0..=most).any(|count| next(b"TX", count.to_string().as_bytes(), tools))
                }
                Found::Values { values, .. } => values.iter().any(|value| next(b"TX", value, tools)),
            }
        }
    }
}

impl Selector {
    fn may_match(&self, name: &[u8], version: EngineVersion, operators: &mut OperatorCache) -> bool {
        match self {
            Self::All | Self::Unknown => true,
            Self::Name(wanted) => {
                // ModSecurity 2 compares up to a zero byte.
                let name = match version {
                    EngineVersion::V2 => name.split(|byte| *byte == 0).next().unwrap_or_default(),
                    EngineVersion::V3 => name,
                };
                name.eq_ignore_ascii_case(wanted)
            }
            Self::Exactly(wanted) => name == wanted.as_slice(),
            Self::Pattern(pattern) => pattern.matches(operators, name) != Match::No,
        }
    }

    fn surely_matches(&self, name: &[u8], operators: &mut OperatorCache) -> bool {
        match self {
            Self::All => true,
            Self::Unknown => false,
            Self::Name(wanted) => name.eq_ignore_ascii_case(wanted),
            Self::Exactly(wanted) => name == wanted.as_slice(),
            Self::Pattern(pattern) => pattern.matches(operators, name) == Match::Yes,
        }
    }
}

impl Part {
    /// Whether the part may have an element of this name.
    pub(super) fn may_cover(
        &self,
        name: &[u8],
        version: EngineVersion,
        operators: &mut OperatorCache,
    ) -> bool {
        self.selector.may_match(name, version, operators)
            && !self.exclusions.iter().any(|exclusion| exclusion.surely_matches(name, operators))
    }

    /// Whether the part has an element of this name for certain; it has no exclusions.
    pub(super) fn surely_covers(&self, name: &[u8], operators: &mut OperatorCache) -> bool {
        self.selector.surely_matches(name, operators)
    }

    /// The number of its elements; `None`: it is not known.
    fn count<'a>(
        &self,
        names: impl Iterator<Item = &'a [u8]>,
        operators: &mut OperatorCache,
    ) -> Option<usize> {
        let mut count = 0;
        for name in names {
            let surely = self.selector.surely_matches(name, operators);
            let maybe = self.selector.may_match(name, EngineVersion::V2, operators);
            if surely != maybe || !self.exclusions.is_empty() {
                return None;
            }
            count += usize::from(surely);
        }
        Some(count)
    }
}
