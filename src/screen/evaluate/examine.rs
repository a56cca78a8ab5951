//! A request before all guards.

use std::borrow::Cow;

use super::chain::{Budget, Knowledge, Tools, Way, entry, follow};
use super::plan::Plan;
use super::program::{Guard, Maker, Source, Step, Test, Writer};
use super::scan::{Buffers, Looking, Open};
use super::state::Entry;
use super::values::Values;
use crate::ffi::body_processor::BodyProcessor;
use crate::message::request::Request;
use crate::rules::version::EngineVersion;
use crate::screen::compile::ir::Effect;
use crate::screen::compile::{Compiled, VARIABLES, variable};
use crate::screen::operators::{Match, OperatorCache};
use crate::screen::variables::{BodyRules, Limits, Room, Variables};
use crate::screen::{Finding, Reason};

/// Bytes that operators and transformations may look at for one request, per byte of the request. A browser's request with the
/// Core Rule Set takes about a tenth.
const WORK_PER_BYTE: usize = 400;

/// What guards look at, and the guards.
#[derive(Debug)]
pub(in crate::screen) struct Program {
    version: EngineVersion,
    limits: Limits,
    guards: Vec<Guard>,
    writers: Vec<Writer>,
    plan: Plan,
    /// The numbers of the variables that are read.
    used: Vec<usize>,
    score: Option<i64>,
    pillars: Vec<i64>,
}

/// What one engine adds to a program: caches, and buffers that are used again.
#[derive(Debug)]
pub(in crate::screen) struct Workspace {
    operators: OperatorCache,
    buffers: Buffers,
    room: Room,
}

impl Workspace {
    pub(in crate::screen) fn memory(&self) -> usize {
        self.buffers.memory()
    }
}

impl Program {
    /// The program for what is left of a configuration.
    ///
    /// # Errors
    /// When its automaton would be too large.
    pub(in crate::screen) fn new(compiled: &Compiled, version: EngineVersion) -> Result<Self, String> {
        let settings = &compiled.settings;
        let maker = Maker { version, settings };
        let (guards, writers) = (maker.guards(compiled), maker.writers(compiled));
        let plan = Plan::new(&guards).map_err(|error| error.to_string())?;
        let steps = guards.iter().flat_map(|guard| &guard.steps);
        let steps = steps.chain(writers.iter().flat_map(|writer| &writer.steps));
        let read = steps.flat_map(|step| &step.parts).filter_map(|part| match part.source {
            Source::Request(number) => Some(number),
            _ => None,
        });
        let mut used: Vec<usize> = read.chain(variable("REQUEST_HEADERS")).collect();
        used.sort_unstable();
        used.dedup();
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        let limits = Limits {
            arguments: Some(settings.arguments).filter(|limit| *limit != usize::MAX),
            body_access: settings.has_body_access,
            body: bytes(settings.body_limit),
            body_no_files: bytes(settings.no_files_limit),
            body_in_memory: bytes(settings.in_memory_limit),
            json_depth: settings.json_depth,
            ..Limits::new(version)
        };
        Ok(Self {
            version,
            limits,
            guards,
            writers,
            plan,
            used,
            score: compiled.rules.score,
            pillars: compiled.rules.pillars.iter().copied().collect(),
        })
    }

    pub(in crate::screen) fn workspace(&self) -> Workspace {
        Workspace {
            operators: OperatorCache::default(),
            buffers: Buffers::new(&self.plan),
            room: Room::default(),
        }
    }

    /// Bytes of memory that all engines share, of the scanner.
    pub(in crate::screen) fn memory(&self) -> usize {
        self.plan.scanner.memory()
    }

    pub(in crate::screen) fn guards(&self) -> usize {
        self.guards.len()
    }

    /// Examines a request.
    pub(in crate::screen) fn examine(&self, workspace: &mut Workspace, request: &Request) -> Finding {
        match self.prove(workspace, request) {
            Ok(()) => Finding::Proven { score: self.score },
            Err(reason) => Finding::NotProven(reason),
        }
    }

    fn prove(&self, workspace: &mut Workspace, request: &Request) -> Result<(), Reason> {
        if request.truncated {
            return Err(Reason::Request("cut body"));
        }
        if request.ignored_rules.iter().any(|rule| self.pillars.contains(rule)) {
            return Err(Reason::Request("ignored rule that others rest on"));
        }
        let Workspace { operators, buffers, room } = workspace;
        let mut budget = Budget(request.payload.len().saturating_mul(WORK_PER_BYTE).max(1 << 20));
        let hand_over = |why: crate::screen::variables::HandOver| Reason::Request(why.name());
        let mut variables = Variables::read(request, self.version, &self.limits, room).map_err(hand_over)?;
        let addresses = addresses(request);
        let mut tools = Tools { operators, budget: &mut budget };
        let mut entries = Vec::new();
        let rules = self.phase_1(&variables, &addresses, &mut tools, &mut entries)?;
        variables.read_body(rules, Cow::Borrowed(&request.body)).map_err(hand_over)?;
        self.phase_2(&variables, &addresses, &mut tools, &mut entries, buffers)?;
        buffers.trim();
        Ok(())
    }

    fn knowledge<'a>(&self, values: &'a Values<'a>, entries: &'a [Entry]) -> Knowledge<'a> {
        let headers = variable("REQUEST_HEADERS").unwrap_or(VARIABLES.len());
        Knowledge { version: self.version, values, headers, entries }
    }

    /// What rules decide about the body, and what cannot be seen any more once it is read.
    fn phase_1(
        &self,
        variables: &Variables<'_>,
        addresses: &[String; 3],
        tools: &mut Tools<'_>,
        entries: &mut Vec<Entry>,
    ) -> Result<BodyRules, Reason> {
        let mut values = Values::new();
        values.fill(&self.used, variables, addresses);
        let mut rules = BodyRules { processor: variables.processor(), forces_variable: false };
        for writer in &self.writers {
            match &writer.effect {
                Effect::Processor(name) => {
                    let knowledge = self.knowledge(&values, entries);
                    if decided(&writer.steps, &knowledge, tools)? {
                        let processor = processor(name).ok_or(Reason::Request("parser of the body"))?;
                        rules.processor = Some(processor);
                    }
                }
                // It makes more to look at, and changes nothing else.
                Effect::ForceBody => rules.forces_variable = true,
                Effect::Tx(writes) if writer.is_early => {
                    let mut written = Vec::new();
                    let knowledge = self.knowledge(&values, entries);
                    let is_unknown = follow(&writer.steps, &Way::default(), &knowledge, tools, &mut |way| {
                        written.extend(writes.iter().map(|write| entry(write, way, &knowledge)));
                        false
                    });
                    if is_unknown {
                        return Err(Reason::Request("what a rule writes"));
                    }
                    entries.append(&mut written);
                }
                Effect::Tx(_) => {}
            }
        }
        for guard in self.guards.iter().filter(|guard| guard.is_early) {
            let knowledge = self.knowledge(&values, entries);
            if follow(&guard.steps, &Way::default(), &knowledge, tools, &mut |_| true) {
                return Err(self.open(guard));
            }
        }
        Ok(rules)
    }

    fn phase_2(
        &self,
        variables: &Variables<'_>,
        addresses: &[String; 3],
        tools: &mut Tools<'_>,
        entries: &mut Vec<Entry>,
        buffers: &mut Buffers,
    ) -> Result<(), Reason> {
        let mut values = Values::new();
        values.fill(&self.used, variables, addresses);
        for writer in self.writers.iter().filter(|writer| !writer.is_early) {
            let Effect::Tx(writes) = &writer.effect else { continue };
            let mut written = Vec::new();
            let knowledge = self.knowledge(&values, entries);
            let is_unknown = follow(&writer.steps, &Way::default(), &knowledge, tools, &mut |way| {
                written.extend(writes.iter().map(|write| entry(write, way, &knowledge)));
                false
            });
            if is_unknown {
                return Err(Reason::Request("what a rule writes"));
            }
            entries.append(&mut written);
        }
        let knowledge = self.knowledge(&values, entries);
        for (number, elements) in self.plan.variables.iter().enumerate() {
            let Some(all) = values.get(number) else { continue };
            for (name, value) in all {
                let pipelines = elements.of(name);
                if pipelines.is_empty() {
                    continue;
                }
                let looking = Looking {
                    plan: &self.plan,
                    guards: &self.guards,
                    knowledge: &knowledge,
                    variable: number,
                    name,
                    raw: value,
                };
                match looking.run(pipelines, buffers, tools) {
                    None => {}
                    Some(Open::Budget) => return Err(Reason::Request("time")),
                    Some(Open::Transformation(_)) => return Err(Reason::Request("transformation")),
                    Some(Open::Guard(guard)) => {
                        let guard = self.guards.get(guard).ok_or(Reason::Request("time"))?;
                        return Err(self.open(guard));
                    }
                }
            }
        }
        for guard in self.plan.others.iter().filter_map(|index| self.guards.get(*index)) {
            if !guard.is_early && follow(&guard.steps, &Way::default(), &knowledge, tools, &mut |_| true) {
                return Err(self.open(guard));
            }
        }
        Ok(())
    }

    fn open(&self, guard: &Guard) -> Reason {
        match guard.rule.id {
            Some(id) => Reason::Rule(id),
            None => Reason::Request("rule without an id"),
        }
    }
}

/// Whether the conditions match.
///
/// # Errors
/// When that is not certain.
fn decided(steps: &[Step], knowledge: &Knowledge<'_>, tools: &mut Tools<'_>) -> Result<bool, Reason> {
    if !follow(steps, &Way::default(), knowledge, tools, &mut |_| true) {
        return Ok(false);
    }
    let [step] = steps else { return Err(Reason::Request("parser of the body")) };
    let Test::Fixed(operator) = &step.operator else { return Err(Reason::Request("parser of the body")) };
    let is_plain = step.pipeline.as_ref().is_some_and(Vec::is_empty) && !step.is_multi_match;
    let surely = is_plain
        && step.parts.iter().any(|part| {
            let Source::Request(number) = part.source else { return false };
            let elements = knowledge.values.get(number).unwrap_or_default();
            !part.is_counted
                && part.exclusions.is_empty()
                && elements.iter().any(|(name, value)| {
                    part.surely_covers(name, tools.operators)
                        && operator.matches(tools.operators, value) == Match::Yes
                })
        });
    if surely { Ok(true) } else { Err(Reason::Request("parser of the body")) }
}

fn processor(name: &str) -> Option<BodyProcessor> {
    match name {
        "URLENCODED" => Some(BodyProcessor::UrlEncoded),
        "MULTIPART" => Some(BodyProcessor::Multipart),
        "JSON" => Some(BodyProcessor::Json),
        "XML" => Some(BodyProcessor::Xml),
        _ => None,
    }
}

/// The client's address and port, and the server's port, as rules see them.
fn addresses(request: &Request) -> [String; 3] {
    // The address that the agent gives an engine for a client without one.
    let client = request.client.address.map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string());
    [client, request.client.port.to_string(), request.server.port.to_string()]
}
