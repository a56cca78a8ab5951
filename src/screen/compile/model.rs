//! The rules of a configuration as the engine has them: chains with their links, defaults merged, removed ones left out.

use crate::rules::check::operators;
use crate::rules::directives::actions::{Action, actions};
use crate::rules::directives::targets::{Target, targets};
use crate::rules::directives::{Directive, Directives, Place, Rule as Listed, remaining};
use crate::rules::version::EngineVersion;

use super::off::Off;

/// A rule, with the links of its chain behind it.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) id: Option<i64>,
    /// 1 to 5.
    pub(super) phase: u8,
    /// Its own condition, then those of the links.
    pub(super) links: Vec<Link>,
    /// The rule's match is in the engine's list of matches.
    pub(super) is_logged: bool,
    /// The rule's match makes the transaction one for the audit log (`RelevantOnly`).
    pub(super) is_audited: bool,
    /// The action that ends the phase or lets the request pass; `pass` is none.
    pub(super) disruptive: Option<String>,
}

/// One condition of a chain, with the actions of its own.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// What it looks at; empty for a `SecAction`.
    pub(super) targets: Vec<Target>,
    /// What later directives add to the targets.
    pub(super) updates: Vec<Target>,
    /// `None`: it always matches (`SecAction`).
    pub(super) operator: Option<OperatorText>,
    /// The names of the transformations.
    pub(super) transformations: Vec<String>,
    /// The operator looks at the value after each transformation.
    pub(super) is_multi_match: bool,
    /// All actions but transformations.
    pub(super) actions: Vec<Action>,
}

/// An operator as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OperatorText {
    pub(super) name: String,
    pub(super) argument: String,
    pub(super) is_negated: bool,
}

/// What the engine comes to, in this order.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Rule(Rule),
    Marker(String),
}

/// The settings of `SecDefaultAction`.
#[derive(Clone, Debug)]
struct Default {
    phase: u8,
    actions: Vec<Action>,
}

impl Link {
    /// The values of its actions of this name.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.actions.iter().filter(move |action| action.is(name)).map(|action| action.value.as_str())
    }
}

/// The rules that are left, in the order of the files. `in_engine` has the ids of those that the engine has.
///
/// # Errors
/// What is not understood.
pub(super) fn items(directives: &Directives, in_engine: &[i64]) -> Result<Vec<Item>, Off> {
    let version = directives.version();
    let defaults_of_all = match version {
        EngineVersion::V2 => Vec::new(),
        EngineVersion::V3 => defaults(directives)?,
    };
    let mut last = None;
    let mut rules = remaining(directives, in_engine).into_iter().peekable();
    let mut items = Vec::new();
    for directive in directives.all() {
        let is = |name: &str| directive.name.eq_ignore_ascii_case(name);
        if is("SecMarker") {
            items.push(Item::Marker(directive.first_word(version)));
        } else if is("SecDefaultAction") {
            last = Some(default(directive, version)?);
        } else if rules.peek().is_some_and(|rule| std::ptr::eq(rule.directive, directive)) {
            let Some(rule) = rules.next() else { break };
            if rule.is_chained {
                let Some(Item::Rule(chain)) = items.last_mut() else {
                    return Err(Off::at(&directive.place, "a link without the first rule of its chain"));
                };
                // libmodsecurity 3 leaves a chain open over what stands between two of its links.
                if chain.links.last().is_none_or(|link| link.values("chain").next().is_none()) {
                    return Err(Off::at(&directive.place, "a link that does not follow its chain"));
                }
                chain.links.push(link(&rule, version)?);
                continue;
            }
            let merged = match version {
                EngineVersion::V2 => last.iter().cloned().collect(),
                EngineVersion::V3 => defaults_of_all.clone(),
            };
            items.push(Item::Rule(first(&rule, version, &merged)?));
        }
    }
    let mut rest = items.iter().filter_map(|item| match item {
        Item::Rule(rule) => Some(rule),
        Item::Marker(_) => None,
    });
    match rest.find(|rule| rule.links.last().is_some_and(|link| link.values("chain").next().is_some())) {
        Some(rule) => Err(Off::at(&rule.place, "a chain without its last link")),
        None => Ok(items),
    }
}

fn first(rule: &Listed<'_>, version: EngineVersion, defaults: &[Default]) -> Result<Rule, Off> {
    let place = &rule.directive.place;
    let link = link(rule, version)?;
    let phase = match rule.values("phase").last() {
        Some(word) => phase(word).ok_or_else(|| Off::at(place, format!("phase {word}")))?,
        None if defaults.is_empty() => 2,
        None if version == EngineVersion::V3 => 2,
        None => return Err(Off::at(place, "a rule whose phase is that of SecDefaultAction")),
    };
    let merged = match version {
        EngineVersion::V2 => defaults.last(),
        EngineVersion::V3 => defaults.iter().find(|default| default.phase == phase),
    };
    let default_actions = merged.map_or(&[][..], |merged| merged.actions.as_slice());
    let all = || default_actions.iter().chain(&link.actions);
    // Neither engine logs nothing without being asked to; a rule that says nothing counts as one that logs.
    let (mut is_logged, mut is_audited) = (true, true);
    for action in all() {
        let name = action.name.to_ascii_lowercase();
        match (version, name.as_str()) {
            (_, "log") => (is_logged, is_audited) = (true, true),
            (_, "nolog") => (is_logged, is_audited) = (false, false),
            (EngineVersion::V2, "auditlog") => is_audited = true,
            (EngineVersion::V2, "noauditlog") => is_audited = false,
            // A single flag decides in libmodsecurity 3.
            (EngineVersion::V3, "auditlog") => (is_logged, is_audited) = (true, true),
            (EngineVersion::V3, "noauditlog") => (is_logged, is_audited) = (false, false),
            _ => {}
        }
    }
    let is_disruptive = |action: &&Action| DISRUPTIVE.iter().any(|name| action.is(name));
    let mut disruptive = link.actions.iter().rfind(is_disruptive);
    if disruptive.is_none_or(|action| action.is("block")) {
        disruptive = default_actions.iter().rfind(is_disruptive).or(disruptive);
    }
    let disruptive = disruptive.map(|action| action.name.to_ascii_lowercase()).filter(|name| name != "pass");
    Ok(Rule {
        place: place.clone(),
        id: rule.id,
        phase,
        links: vec![link],
        is_logged,
        is_audited,
        disruptive,
    })
}

/// The actions of which a rule has one.
const DISRUPTIVE: [&str; 8] = ["pass", "block", "deny", "drop", "redirect", "proxy", "pause", "allow"];

fn link(rule: &Listed<'_>, version: EngineVersion) -> Result<Link, Off> {
    let directive = rule.directive;
    let place = &directive.place;
    if directive.arguments.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Off::at(place, "a rule that is not UTF-8"));
    }
    let (mut targets_of, mut operator) = (Vec::new(), None);
    if directive.name.eq_ignore_ascii_case("SecRule") {
        let words = directive.words(version);
        let read = operators::Operator::read(&words, version).filter(|operator| operator.actions == 2);
        let read = read.ok_or_else(|| Off::at(place, "a rule without an operator"))?;
        let list = words.first().map(|word| word.as_read_by(version)).unwrap_or_default();
        targets_of = targets(&list, version);
        if targets_of.is_empty() {
            return Err(Off::at(place, "a rule without a target"));
        }
        operator = Some(OperatorText {
            name: read.name().to_ascii_lowercase(),
            argument: read.argument.clone(),
            is_negated: read.is_negated,
        });
    } else if !directive.name.eq_ignore_ascii_case("SecAction") {
        return Err(Off::at(place, format!("{} is not modelled", directive.name)));
    }
    if let Some(open) = rule.actions.iter().find(|action| !action.is_closed) {
        return Err(Off::at(place, format!("the value of {} has no end", open.name)));
    }
    let mut transformations = Vec::new();
    for action in rule.actions.iter().filter(|action| action.is("t")) {
        match action.value.as_str() {
            none if none.eq_ignore_ascii_case("none") => transformations.clear(),
            name => transformations.push(name.to_owned()),
        }
    }
    Ok(Link {
        targets: targets_of,
        updates: Vec::new(),
        operator,
        transformations,
        is_multi_match: rule.values("multiMatch").next().is_some(),
        actions: rule.actions.iter().filter(|action| !action.is("t")).cloned().collect(),
    })
}

fn phase(word: &str) -> Option<u8> {
    match word.to_ascii_lowercase().as_str() {
        "request" => Some(2),
        "response" => Some(4),
        "logging" => Some(5),
        number => number.parse().ok().filter(|phase| (1..=5).contains(phase)),
    }
}

fn default(directive: &Directive, version: EngineVersion) -> Result<Default, Off> {
    let list = actions(&directive.first_word(version), version);
    let is_harmless = |action: &Action| {
        let known = ["phase", "log", "nolog", "auditlog", "noauditlog", "status", "tag"];
        known.iter().chain(&DISRUPTIVE).any(|name| action.is(name))
            || action.is("t") && action.value.eq_ignore_ascii_case("none")
    };
    if let Some(other) = list.iter().find(|action| !is_harmless(action)) {
        return Err(Off::at(&directive.place, format!("SecDefaultAction with {}", other.name)));
    }
    let of = list.iter().rfind(|action| action.is("phase")).map_or(Some(2), |action| phase(&action.value));
    let phase = of.ok_or_else(|| Off::at(&directive.place, "SecDefaultAction of an unknown phase"))?;
    Ok(Default { phase, actions: list })
}

fn defaults(directives: &Directives) -> Result<Vec<Default>, Off> {
    let all = directives.all().iter();
    let named = all.filter(|directive| directive.name.eq_ignore_ascii_case("SecDefaultAction"));
    let found: Vec<Default> =
        named.map(|named| default(named, directives.version())).collect::<Result<_, _>>()?;
    let is_twice =
        |(index, one): (usize, &Default)| found.iter().skip(index + 1).any(|other| other.phase == one.phase);
    match found.iter().enumerate().any(is_twice) {
        true => Err(Off::new("SecDefaultAction stands twice for a phase")),
        false => Ok(found),
    }
}
