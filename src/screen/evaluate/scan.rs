//! Looks at a value behind every transformation that guards want before it.

use super::chain::{Knowledge, Tools, follow_match};
use super::plan::{Pipelines, Plan};
use super::program::{Guard, Source};
use crate::screen::automaton::{Candidates, ScannerCache};
use crate::screen::transformations::{Applied, Transformation};

/// Buffers of one engine, which are used again.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) scanner: ScannerCache,
    /// For each depth: a value, and the candidates that the scanner found in it.
    levels: Vec<(Vec<u8>, Candidates)>,
}

impl Buffers {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { scanner: plan.scanner.cache(), levels: Vec::new() }
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.scanner.memory() + self.levels.iter().map(|(value, _)| value.capacity()).sum::<usize>()
    }

    /// Gives back what an uncommon request has needed.
    pub(super) fn trim(&mut self) {
        self.levels.iter_mut().for_each(|(value, _)| value.shrink_to(MAX_KEPT));
    }

    fn level(&mut self, depth: usize, plan: &Plan) -> (Vec<u8>, Candidates) {
        while self.levels.len() <= depth {
            self.levels.push((Vec::new(), Candidates::new(plan.heads.len())));
        }
        self.levels.get_mut(depth).map(std::mem::take).unwrap_or_default()
    }

    fn give_back(&mut self, depth: usize, level: (Vec<u8>, Candidates)) {
        if let Some(place) = self.levels.get_mut(depth) {
            *place = level;
        }
    }
}

/// Bytes that each buffer keeps.
const MAX_KEPT: usize = 64 << 10;

/// Why a value is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// This guard may match.
    Guard(usize),
    /// What a transformation makes of it is not known.
    Transformation(Transformation),
    /// It would take too long.
    Budget,
}

/// What stays the same while one value is looked at.
pub(super) struct Looking<'a> {
    pub(super) plan: &'a Plan,
    pub(super) guards: &'a [Guard],
    pub(super) knowledge: &'a Knowledge<'a>,
    pub(super) variable: usize,
    pub(super) name: &'a [u8],
    pub(super) raw: &'a [u8],
}

impl Looking<'_> {
    /// Looks at the value. Returns what is open, if anything is.
    pub(super) fn run(
        &self,
        pipelines: &Pipelines,
        buffers: &mut Buffers,
        tools: &mut Tools<'_>,
    ) -> Option<Open> {
        let (buffer, mut candidates) = buffers.level(0, self.plan);
        let found = self.scan(self.raw, buffers, tools, &mut candidates);
        let found = found.or_else(|| self.at(pipelines, self.raw, &candidates, None, 1, buffers, tools));
        buffers.give_back(0, (buffer, candidates));
        found
    }

    fn scan(
        &self,
        value: &[u8],
        buffers: &mut Buffers,
        tools: &mut Tools<'_>,
        candidates: &mut Candidates,
    ) -> Option<Open> {
        if !tools.budget.take(value.len()) {
            return Some(Open::Budget);
        }
        self.plan.scanner.scan(&mut buffers.scanner, value, candidates);
        None
    }

    /// Looks at the value at one place of the tree. `left_behind` has left bytes behind the end of the value.
    #[allow(clippy::too_many_arguments)]
    fn at(
        &self,
        pipelines: &Pipelines,
        value: &[u8],
        candidates: &Candidates,
        left_behind: Option<Transformation>,
        depth: usize,
        buffers: &mut Buffers,
        tools: &mut Tools<'_>,
    ) -> Option<Open> {
        if let Some(guards) = &pipelines.guards {
            for head in guards.common(candidates) {
                let open = self.ask(head, value, tools);
                if open.is_some() {
                    return open;
                }
            }
        }
        let version = self.knowledge.version;
        for (transformation, next) in &pipelines.next {
            if left_behind.is_some_and(|earlier| earlier.change_spoils(version, &[*transformation])) {
                return Some(Open::Transformation(*transformation));
            }
            let mut left_behind = left_behind.filter(|earlier| {
                earlier.change_spoils(version, &[*transformation, Transformation::CmdLine])
            });
            if !tools.budget.take(value.len() / 4) {
                return Some(Open::Budget);
            }
            let (mut out, mut own) = buffers.level(depth, self.plan);
            let open = match transformation.apply(version, value, &mut out) {
                Applied::NotModelled => Some(Open::Transformation(*transformation)),
                Applied::Unchanged => {
                    self.at(next, value, candidates, left_behind, depth + 1, buffers, tools)
                }
                Applied::Changed => {
                    if transformation.change_spoils(version, &[Transformation::CmdLine]) {
                        left_behind = Some(*transformation);
                    }
                    // The scanner makes no difference between capitals and small letters.
                    match *transformation == Transformation::Lowercase {
                        true => self.at(next, &out, candidates, left_behind, depth + 1, buffers, tools),
                        false => self
                            .scan(&out, buffers, tools, &mut own)
                            .or_else(|| self.at(next, &out, &own, left_behind, depth + 1, buffers, tools)),
                    }
                }
            };
            buffers.give_back(depth, (out, own));
            if open.is_some() {
                return open;
            }
        }
        None
    }

    /// Asks the guard with this head about the value.
    fn ask(&self, head: usize, value: &[u8], tools: &mut Tools<'_>) -> Option<Open> {
        let index = *self.plan.heads.get(head)?;
        let guard = self.guards.get(index)?;
        let parts = guard.steps.first().map(|step| step.parts.as_slice()).unwrap_or_default();
        let covers = parts.iter().any(|part| {
            matches!(part.source, Source::Request(variable) if variable == self.variable)
                && part.may_cover(self.name, self.knowledge.version, tools.operators)
        });
        let is_open =
            covers && follow_match(&guard.steps, (self.name, self.raw, value), self.knowledge, tools);
        is_open.then_some(Open::Guard(index))
    }
}
