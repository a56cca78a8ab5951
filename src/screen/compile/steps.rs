//! A condition of a chain, evaluated as far as it is the same for every request.

use super::ir::{Operator, Part, Selector, Source, Step};
use super::model::Link;
use super::readers::{may_match, may_match_beginning};
use super::tx::{Known, Tx, group};
use super::{fold, variables};
use crate::rules::directives::targets::Target;
use crate::rules::version::EngineVersion;

/// Whether a condition holds.
#[derive(Debug)]
pub(super) enum Outcome {
    /// For every request.
    Always,
    /// For no request.
    Never,
    /// That depends on the request.
    Depends(Step),
}

/// What the links before this one leave behind.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The names in `TX` that they write, as far as they are fixed, and beginnings of the others.
    pub(super) written: Vec<(String, bool)>,
    /// The link just before this one is a step, so its match is there to be read.
    pub(super) has_match: bool,
}

impl Before {
    /// Whether a link may have written this name.
    pub(super) fn is_written(&self, name: &str) -> bool {
        self.written.iter().any(|(written, is_whole)| match is_whole {
            true => written == name,
            false => name.starts_with(written.as_str()),
        })
    }
}

/// Evaluates the condition of a link.
pub(super) fn evaluate(link: &Link, tx: &Tx, before: &Before, version: EngineVersion) -> Outcome {
    let Some(operator) = &link.operator else { return Outcome::Always };
    let argument = tx.expand(&operator.argument, &|name| before.is_written(name));
    let fixed = argument.fixed();
    let (parts, mut is_unknown) = parts(link, tx, before, version);
    let mut left = Vec::new();
    for part in parts {
        let Source::Fixed(value) = &part.source else {
            left.push(part);
            continue;
        };
        let value = fold::transformed(&link.transformations, value).filter(|_| !link.is_multi_match);
        let found = value.zip(fixed.as_ref());
        let found = found.and_then(|(value, argument)| {
            fold::matches(&operator.name, argument, operator.is_negated, &value)
        });
        match found {
            Some(true) => return Outcome::Always,
            Some(false) => {}
            None => left.push(part),
        }
    }
    if left.is_empty() && !is_unknown {
        return Outcome::Never;
    }
    is_unknown |= left.iter().any(|part| part.source == Source::Unknown);
    let (name, is_negated) = (operator.name.clone(), operator.is_negated);
    let operator = match fixed {
        _ if is_unknown => Operator::Unknown,
        Some(argument) => Operator::Fixed { name, argument, is_negated },
        None => Operator::Template { name, argument, is_negated },
    };
    Outcome::Depends(Step {
        parts: left,
        operator,
        transformations: link.transformations.clone(),
        is_multi_match: link.is_multi_match,
        captures: link.values("capture").next().is_some(),
        writes: Vec::new(),
    })
}

/// The parts of the target list, and whether what is in one of them is not known.
fn parts(link: &Link, tx: &Tx, before: &Before, version: EngineVersion) -> (Vec<Part>, bool) {
    let (mut parts, mut is_unknown) = (Vec::<Part>::new(), false);
    for target in link.targets.iter().chain(&link.updates).filter(|target| !target.is_excluded) {
        let is_counted = target.is_counted;
        let part = |source, selector| Part { source, selector, is_counted, exclusions: Vec::new() };
        let name = target.name.to_ascii_uppercase();
        match name.as_str() {
            "TX" => parts.extend(in_tx(target, tx, before)),
            "MATCHED_VAR" | "MATCHED_VARS" | "MATCHED_VAR_NAME" | "MATCHED_VARS_NAMES" => {
                let source = match name.contains("NAME") {
                    true => Source::MatchedName,
                    false => Source::MatchedVar,
                };
                let is_known = before.has_match && !is_counted && target.selector.is_empty();
                parts.push(part(if is_known { source } else { Source::Unknown }, Selector::All));
            }
            // How many there are differs between the engines.
            "FILES_NAMES" if is_counted => parts.push(part(Source::Unknown, Selector::All)),
            _ if variables::is_known(&name) => parts.push(part(Source::Request(name), selector(target))),
            _ => parts.push(part(Source::Unknown, Selector::All)),
        }
        is_unknown |= parts.last().is_some_and(|part| part.source == Source::Unknown);
    }
    // An exclusion that is left out only adds targets; numbers of them must be right.
    for (at, excluded) in link.targets.iter().enumerate().filter(|(_, target)| target.is_excluded) {
        let name = excluded.name.to_ascii_uppercase();
        let is_behind = |target: &Target| !target.is_excluded && target.name.eq_ignore_ascii_case(&name);
        let applies = match version {
            // It takes out what stands before it, and all that stands before if the target is there twice.
            EngineVersion::V2 => !link.targets.get(at..).unwrap_or_default().iter().any(is_behind),
            EngineVersion::V3 => true,
        };
        is_unknown |= exclude(&mut parts, &name, selector(excluded), applies);
    }
    for excluded in link.updates.iter().filter(|target| target.is_excluded) {
        let selector = match (selector(excluded), version) {
            (Selector::Name(_), EngineVersion::V3) => Selector::Exactly(excluded.selector.clone()),
            (selector, _) => selector,
        };
        is_unknown |= exclude(&mut parts, &excluded.name.to_ascii_uppercase(), selector, true);
    }
    (parts, is_unknown)
}

/// Leaves elements of a variable out. Returns whether it is then unknown what is looked at.
fn exclude(parts: &mut [Part], name: &str, selector: Selector, applies: bool) -> bool {
    let mut is_unknown = name == "TX";
    let source = Source::Request(name.to_owned());
    for part in parts.iter_mut().filter(|part| part.source == source) {
        is_unknown |= part.is_counted;
        if applies && selector != Selector::All {
            part.exclusions.push(selector.clone());
        }
    }
    is_unknown
}

/// What selects elements, as it is written in a target.
pub(super) fn selector(target: &Target) -> Selector {
    match (&target.expression, target.selector.as_str()) {
        (Some(expression), _) => Selector::Pattern(expression.clone()),
        (None, "") => Selector::All,
        (None, name) => Selector::Name(name.trim_matches('\'').to_ascii_lowercase()),
    }
}

/// The part that a target in `TX` is; none for one that is absent.
fn in_tx(target: &Target, tx: &Tx, before: &Before) -> Vec<Part> {
    let is_counted = target.is_counted;
    let part = |source, selector| Part { source, selector, is_counted, exclusions: Vec::new() };
    let fixed = |value: String| Part {
        source: Source::Fixed(value),
        selector: Selector::All,
        is_counted: false,
        exclusions: Vec::new(),
    };
    match selector(target) {
        Selector::Name(name) | Selector::Exactly(name) => {
            if let Some(group) = group(&name) {
                let source = if is_counted { Source::Unknown } else { Source::Capture(group) };
                return vec![part(source, Selector::All)];
            }
            let known = tx.get(&name);
            let known = match before.is_written(&name) {
                true => Some(Known::Maybe(known.map(Known::values).unwrap_or_default())),
                false => known,
            };
            match (known, is_counted) {
                (None, true) => vec![fixed("0".to_owned())],
                (None, false) => Vec::new(),
                (Some(Known::Text(_)), true) => vec![fixed("1".to_owned())],
                (Some(Known::Text(text)), false) => vec![fixed(text)],
                (Some(Known::Maybe(values)), _) => {
                    let always = values.into_iter().map(|value| (name.clone(), value)).collect();
                    vec![part(Source::Tx { always }, Selector::Name(name))]
                }
            }
        }
        selector => {
            let selects = |name: &str| match &selector {
                Selector::Pattern(pattern) => may_match(pattern, name),
                _ => true,
            };
            let (mut always, mut depends) = (Vec::new(), tx.has_prefix(&selector));
            for (name, known) in tx.names().filter(|(name, _)| selects(name)) {
                match known {
                    Known::Text(text) => always.push((name.to_owned(), text.clone())),
                    Known::Maybe(values) => {
                        depends = true;
                        always.extend(values.iter().map(|value| (name.to_owned(), value.clone())));
                    }
                }
            }
            depends |= before.written.iter().any(|(name, is_whole)| match (&selector, is_whole) {
                (Selector::Pattern(pattern), false) => may_match_beginning(pattern, name),
                _ => selects(name),
            });
            // Groups are read through their numbers only.
            match (depends, is_counted) {
                (true, _) => vec![part(Source::Tx { always }, selector)],
                (false, true) => vec![fixed(always.len().to_string())],
                (false, false) => always.into_iter().map(|(_, text)| fixed(text)).collect(),
            }
        }
    }
}
