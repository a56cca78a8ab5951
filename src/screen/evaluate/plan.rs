//! Which guards look at which values, and behind which transformations.
//!
//! One scanner searches a value for the patterns of all guards at once. A guard whose first condition is no candidate for a
//! value is settled for it; the candidates are asked one by one.

use std::collections::BTreeMap;

use super::program::{Guard, Selector, Source, Test};
use crate::screen::automaton::{Candidates, Pattern, Scanner, TooLarge};
use crate::screen::compile::VARIABLES;
use crate::screen::transformations::Transformation;

/// The plan.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) scanner: Scanner,
    /// The guards whose first condition the scanner knows, by the number of the pattern.
    pub(super) heads: Vec<usize>,
    /// The others, which are followed one by one.
    pub(super) others: Vec<usize>,
    /// For each variable: what is done with its elements.
    pub(super) variables: Vec<Elements>,
}

/// What is done with the elements of a variable.
#[derive(Debug, Default)]
pub(super) struct Elements {
    /// Those of these names, in lower case.
    named: BTreeMap<Vec<u8>, Pipelines>,
    /// All others.
    other: Pipelines,
}

/// Transformations that share their beginnings: a tree.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    /// The guards that look at the value here.
    pub(super) guards: Option<Candidates>,
    pub(super) next: Vec<(Transformation, Pipelines)>,
}

impl Elements {
    /// What is done with the element of this name.
    pub(super) fn of(&self, name: &[u8]) -> &Pipelines {
        if self.named.is_empty() {
            return &self.other;
        }
        // ModSecurity 2 compares up to a zero byte.
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        self.named.get(&name.to_ascii_lowercase()).unwrap_or(&self.other)
    }
}

impl Pipelines {
    pub(super) fn is_empty(&self) -> bool {
        self.guards.is_none() && self.next.is_empty()
    }

    fn add(&mut self, pipeline: &[Transformation], is_multi_match: bool, head: usize, heads: usize) {
        if is_multi_match || pipeline.is_empty() {
            self.guards.get_or_insert_with(|| Candidates::new(heads)).insert(head);
        }
        let Some((first, rest)) = pipeline.split_first() else { return };
        let at = match self.next.iter().position(|(known, _)| known == first) {
            Some(at) => at,
            None => {
                self.next.push((*first, Self::default()));
                self.next.len() - 1
            }
        };
        if let Some((_, next)) = self.next.get_mut(at) {
            next.add(rest, is_multi_match, head, heads);
        }
    }
}

impl Plan {
    /// The plan for these guards.
    ///
    /// # Errors
    /// When the automaton would be too large.
    pub(super) fn new(guards: &[Guard]) -> Result<Self, TooLarge> {
        let is_head = |guard: &Guard| {
            !guard.is_early
                && guard.steps.first().is_some_and(|step| {
                    let all_plain = step
                        .parts
                        .iter()
                        .all(|part| matches!(part.source, Source::Request(_)) && !part.is_counted);
                    all_plain && step.pipeline.is_some() && matches!(step.operator, Test::Fixed(_))
                })
        };
        let (heads, others): (Vec<usize>, Vec<usize>) =
            (0..guards.len()).partition(|index| guards.get(*index).is_some_and(is_head));
        let first = |index: &usize| guards.get(*index).and_then(|guard| guard.steps.first());
        let patterns: Vec<Pattern> = heads
            .iter()
            .map(|index| match first(index).map(|step| &step.operator) {
                Some(Test::Fixed(operator)) => operator.pattern(),
                _ => Pattern::Always,
            })
            .collect();
        let mut variables: Vec<Elements> = VARIABLES.iter().map(|_| Elements::default()).collect();
        // Names first: a guard on all elements looks at those of a name as well.
        for part in heads.iter().filter_map(first).flat_map(|step| &step.parts) {
            if let (Source::Request(variable), Selector::Name(name)) = (&part.source, &part.selector)
                && let Some(elements) = variables.get_mut(*variable)
            {
                elements.named.entry(name.clone()).or_default();
            }
        }
        for (head, step) in heads.iter().filter_map(first).enumerate() {
            let pipeline = step.pipeline.clone().unwrap_or_default();
            let pipeline: Vec<_> = pipeline.into_iter().filter(|one| *one != Transformation::None).collect();
            for part in &step.parts {
                let Source::Request(variable) = part.source else { continue };
                let Some(elements) = variables.get_mut(variable) else { continue };
                let add = |pipelines: &mut Pipelines| {
                    pipelines.add(&pipeline, step.is_multi_match, head, heads.len());
                };
                match &part.selector {
                    Selector::Name(name) => elements.named.get_mut(name).into_iter().for_each(add),
                    _ => elements.named.values_mut().chain([&mut elements.other]).for_each(add),
                }
            }
        }
        Ok(Self { scanner: Scanner::new(&patterns)?, heads, others, variables })
    }
}
