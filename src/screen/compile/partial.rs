//! Evaluates the rules for all requests at once: what is the same for every request is settled, and what is left are guards.

use std::collections::{BTreeMap, BTreeSet};

use super::effects::{self, Change};
use super::ir::{Effect, Guard, Name, Step, Write};
use super::model::{Item, Link, Rule};
use super::off::Off;
use super::readers::{Readers, SCORES};
use super::steps::{Before, Outcome, evaluate};
use super::tx::{Known, Tx};
use crate::rules::version::EngineVersion;

/// The result.
#[derive(Debug, Default)]
pub(in crate::screen) struct Evaluated {
    pub(in crate::screen) guards: Vec<Guard>,
    pub(in crate::screen) writers: Vec<super::ir::Writer>,
    /// The value of the answer's `anomaly_score`, if the rules compute one.
    pub(in crate::screen) score: Option<i64>,
    /// Rules whose removal for one request would change what is settled: by their ids.
    pub(in crate::screen) pillars: BTreeSet<i64>,
    pub(in crate::screen) counts: Counts,
    /// Some collection is opened for every request.
    pub(in crate::screen) opens_collections: bool,
}

/// How many rules were settled, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rules that a request reaches.
    pub reached: usize,
    /// Rules that match every request.
    pub always: usize,
    /// Rules that match no request.
    pub never: usize,
    /// Rules whose match would be seen.
    pub guards: usize,
    /// Rules whose match nobody sees.
    pub unseen: usize,
}

/// Evaluates the rules of the phases that a request goes through.
///
/// # Errors
/// When a rule does to every request what the screen cannot vouch for.
pub(super) fn evaluate_all(
    items: &[Item],
    version: EngineVersion,
    is_audit_relevant: bool,
) -> Result<Evaluated, Off> {
    let mut walk = Walk {
        version,
        is_audit_relevant,
        readers: Readers::of(items),
        // What the agent writes for a body that HAProxy cut is not there: such a request is handed over.
        tx: Some(Tx::default()),
        skips: BTreeMap::new(),
        removals: Vec::new(),
        tags: BTreeMap::new(),
        found: Evaluated::default(),
    };
    for phase in [1, 2, 5] {
        for item in items {
            match item {
                Item::Marker(name) => walk.marker(name),
                Item::Rule(rule) if rule.phase == phase => walk.rule(rule)?,
                Item::Rule(_) => {}
            }
        }
        walk.end_of_phase()?;
    }
    walk.finish()
}

struct Walk {
    version: EngineVersion,
    is_audit_relevant: bool,
    readers: Readers,
    /// `None`: no request comes here.
    tx: Option<Tx>,
    /// Where requests are that skip to a marker.
    skips: BTreeMap<String, Tx>,
    /// Rules that remove others at run time.
    removals: Vec<(Guard, effects::Removal)>,
    /// The tags of pillars.
    tags: BTreeMap<i64, Vec<String>>,
    found: Evaluated,
}

impl Walk {
    fn marker(&mut self, name: &str) {
        let Some(skipped) = self.skips.remove(name) else { return };
        match &mut self.tx {
            Some(tx) => tx.join(&skipped),
            None => self.tx = Some(skipped),
        }
    }

    fn end_of_phase(&mut self) -> Result<(), Off> {
        let skips = std::mem::take(&mut self.skips);
        for (marker, skipped) in skips {
            // In ModSecurity 2 the phase ends there, in libmodsecurity 3 later phases are skipped as well.
            if self.version == EngineVersion::V3 {
                return Err(Off::new(format!("skipAfter names {marker}, which does not follow")));
            }
            match &mut self.tx {
                Some(tx) => tx.join(&skipped),
                None => self.tx = Some(skipped),
            }
        }
        Ok(())
    }

    fn rule(&mut self, rule: &Rule) -> Result<(), Off> {
        let Some(mut tx) = self.tx.take() else { return Ok(()) };
        self.found.counts.reached += 1;
        let result = self.chain(rule, &mut tx);
        if self.tx.is_none() && !matches!(result, Ok(Next::Elsewhere)) {
            self.tx = Some(tx);
        }
        result.map(drop)
    }

    /// Follows the links of a chain.
    fn chain(&mut self, rule: &Rule, tx: &mut Tx) -> Result<Next, Off> {
        let name = || Name { id: rule.id, place: rule.place.clone() };
        let mut steps: Vec<Step> = Vec::new();
        let mut before = Before::default();
        let mut changes = Vec::new();
        let mut has_written = false;
        for (index, link) in rule.links.iter().enumerate() {
            let is_last = index + 1 == rule.links.len();
            let outcome = evaluate(link, tx, &before, self.version);
            let is_always = matches!(outcome, Outcome::Always);
            match outcome {
                Outcome::Never => {
                    self.found.counts.never += 1;
                    return Ok(Next::Here);
                }
                Outcome::Always => before.has_match = false,
                Outcome::Depends(step) => {
                    steps.push(step);
                    before.has_match = true;
                }
            }
            let is_in_chain = |name: &str| before.is_written(name);
            let written = self.writes(link, tx, &is_in_chain);
            let others = effects::of(link, self.version);
            if let (true, Some(Change::Unknown(what))) =
                (steps.is_empty(), others.iter().find(|change| matches!(change, Change::Unknown(_))))
            {
                return Err(Off::at(&rule.place, format!("every request comes to {what}")));
            }
            // What a link does by itself must be known, also where its chain fails.
            if !is_last && !steps.is_empty() && others.iter().any(|change| change.acts_alone(self.version)) {
                return Ok(self.guard(Guard { rule: name(), phase: rule.phase, steps }));
            }
            changes.extend(others);
            if steps.is_empty() {
                self.write_always((name(), rule.phase), &written, tx);
                has_written |= !written.is_empty();
                before.written.extend(written.iter().filter(|write| write.name.fixed().is_none()).map(reach));
            } else if !is_last {
                written.iter().for_each(|write| self.may_write(write, tx));
                before.written.extend(written.iter().map(reach));
                if let (Some(step), false) = (steps.last_mut(), is_always) {
                    step.writes = written.clone();
                } else if let Some(step) = steps.last_mut() {
                    step.writes.extend(written.iter().cloned());
                }
                self.writer((name(), rule.phase), &steps, &written);
            } else {
                changes.push(Change::Tx(written));
            }
        }
        if steps.is_empty() {
            return self.always(rule, changes, has_written, tx);
        }
        self.depends(rule, steps, changes, tx)
    }

    /// The writes of a link in `TX`.
    fn writes(&self, link: &Link, tx: &Tx, is_in_chain: &dyn Fn(&str) -> bool) -> Vec<Write> {
        let written = link.values("setvar");
        written.filter_map(|text| effects::write(text, tx, is_in_chain)).collect()
    }

    /// Every request comes to these.
    fn write_always(&mut self, rule: (Name, u8), writes: &[Write], tx: &mut Tx) {
        let depends: Vec<Write> = writes.iter().filter(|write| !effects::apply(write, tx)).cloned().collect();
        self.writer(rule, &[], &depends);
    }

    /// Some requests come to this one.
    fn may_write(&self, write: &Write, tx: &mut Tx) {
        match write.name.fixed() {
            Some(name) if self.readers.read(&name) => tx.blur(&name),
            Some(_) => {}
            None if self.readers.read_prefix(write.name.prefix()) => tx.blur_prefix(write.name.prefix()),
            None => {}
        }
    }

    /// Keeps what others read of these.
    fn writer(&mut self, (rule, phase): (Name, u8), steps: &[Step], writes: &[Write]) {
        let is_read = |write: &&Write| match write.name.fixed() {
            Some(name) => self.readers.read(&name),
            None => self.readers.read_prefix(write.name.prefix()),
        };
        let read: Vec<Write> = writes.iter().filter(is_read).cloned().collect();
        if !read.is_empty() {
            let steps = steps.to_vec();
            self.found.writers.push(super::ir::Writer { rule, phase, steps, effect: Effect::Tx(read) });
        }
    }

    fn guard(&mut self, guard: Guard) -> Next {
        self.found.counts.guards += 1;
        self.found.guards.push(guard);
        Next::Here
    }

    fn pillar(&mut self, rule: &Rule) {
        let tags = rule.links.iter().flat_map(|link| link.values("tag")).map(str::to_owned);
        let tags: Vec<String> = tags.collect();
        if let Some(id) = rule.id {
            self.found.pillars.insert(id);
            self.tags.insert(id, tags);
        }
    }

    /// A rule that matches every request.
    fn always(
        &mut self,
        rule: &Rule,
        changes: Vec<Change>,
        has_written: bool,
        tx: &mut Tx,
    ) -> Result<Next, Off> {
        self.found.counts.always += 1;
        if rule.is_logged || rule.disruptive.is_some() || self.is_audit_relevant && rule.is_audited {
            return Err(Off::at(&rule.place, "a rule that matches every request, and shows it"));
        }
        let mut next = Next::Here;
        let mut is_pillar = has_written;
        for change in changes {
            match change {
                Change::None | Change::Tx(_) | Change::Sum => {}
                Change::OpensCollection => self.found.opens_collections = true,
                Change::SkipAfter(marker) => {
                    is_pillar = true;
                    self.skip(marker, tx.clone());
                    next = Next::Elsewhere;
                }
                Change::RemovesTarget | Change::Removes(_) => {
                    return Err(Off::at(&rule.place, "a rule that removes rules for every request"));
                }
                Change::ForcesBody if self.version == EngineVersion::V3 => {}
                Change::ForcesBody => {
                    let name = Name { id: rule.id, place: rule.place.clone() };
                    let writer = super::ir::Writer {
                        rule: name,
                        phase: rule.phase,
                        steps: Vec::new(),
                        effect: Effect::ForceBody,
                    };
                    self.found.writers.push(writer);
                }
                Change::Processor(_) => {
                    return Err(Off::at(&rule.place, "a rule that chooses the parser of every body"));
                }
                Change::Unknown(what) => {
                    return Err(Off::at(&rule.place, format!("every request comes to {what}")));
                }
            }
        }
        if is_pillar {
            self.pillar(rule);
        }
        Ok(next)
    }

    fn skip(&mut self, marker: String, tx: Tx) {
        match self.skips.get_mut(&marker) {
            Some(other) => other.join(&tx),
            None => drop(self.skips.insert(marker, tx)),
        }
    }

    /// A rule that some requests match.
    fn depends(
        &mut self,
        rule: &Rule,
        steps: Vec<Step>,
        changes: Vec<Change>,
        tx: &mut Tx,
    ) -> Result<Next, Off> {
        let name = || Name { id: rule.id, place: rule.place.clone() };
        let guard = |steps: &Vec<Step>| Guard { rule: name(), phase: rule.phase, steps: steps.clone() };
        let is_seen =
            rule.is_logged || rule.disruptive.is_some() || self.is_audit_relevant && rule.is_audited;
        let is_unknown = changes.iter().any(|change| matches!(change, Change::Unknown(_)));
        if is_seen || is_unknown {
            return Ok(self.guard(guard(&steps)));
        }
        self.found.counts.unseen += 1;
        // What skips has written before.
        let (written, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| matches!(change, Change::Tx(_)));
        for change in written.into_iter().chain(others) {
            match change {
                Change::None | Change::Sum | Change::RemovesTarget => {}
                Change::OpensCollection => self.found.opens_collections = true,
                Change::Tx(written) => {
                    written.iter().for_each(|write| self.may_write(write, tx));
                    self.writer((name(), rule.phase), &steps, &written);
                }
                Change::SkipAfter(marker) => self.skip(marker, tx.clone()),
                Change::Removes(removal) => self.removals.push((guard(&steps), removal)),
                Change::ForcesBody if self.version == EngineVersion::V3 => {}
                Change::ForcesBody => self.found.writers.push(super::ir::Writer {
                    rule: name(),
                    phase: rule.phase,
                    steps: steps.clone(),
                    effect: Effect::ForceBody,
                }),
                Change::Processor(processor) => {
                    if rule.phase != 1 || !self.skips.is_empty() {
                        return Err(Off::at(
                            &rule.place,
                            "a rule that chooses the parser, behind a skipAfter",
                        ));
                    }
                    self.pillar(rule);
                    self.found.writers.push(super::ir::Writer {
                        rule: name(),
                        phase: rule.phase,
                        steps: steps.clone(),
                        effect: Effect::Processor(processor),
                    });
                }
                Change::Unknown(_) => {}
            }
        }
        Ok(Next::Here)
    }

    fn finish(mut self) -> Result<Evaluated, Off> {
        let removals = std::mem::take(&mut self.removals);
        for (guard, removal) in removals {
            if self.tags.iter().any(|(id, tags)| removal.may_name(*id, tags, self.version)) {
                self.guard(guard);
            }
        }
        let tx = self.tx.take().unwrap_or_default();
        for name in SCORES {
            match tx.get(name) {
                None => continue,
                Some(Known::Text(text)) => {
                    self.found.score = text.parse().ok();
                    break;
                }
                Some(Known::Maybe(_)) => {
                    return Err(Off::new(format!("TX:{name} differs among clean requests")));
                }
            }
        }
        if let Some(guard) = self.found.guards.iter().find(|guard| guard.is_never_decided()) {
            return Err(Off::at(&guard.rule.place, "a rule that reads what the screen does not know"));
        }
        Ok(self.found)
    }
}

/// Where a request goes on.
enum Next {
    Here,
    /// Behind a marker.
    Elsewhere,
}

/// The names that a write may reach.
fn reach(write: &Write) -> (String, bool) {
    match write.name.fixed() {
        Some(name) => (name, true),
        None => (write.name.prefix().to_ascii_lowercase(), false),
    }
}
