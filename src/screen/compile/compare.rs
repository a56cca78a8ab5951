//! Compares the rules that the engine has with those that were read: each rule of the one must be the next of the other.

use super::model::{Item, Rule};
use super::off::Off;
use crate::rules::directives::Directives;
use crate::rules::version::EngineVersion;

/// Compares the ids. `in_engine` has them phase by phase, with 0 for each rule without one.
///
/// # Errors
/// The first rule that the engine does not have where it should be.
pub(super) fn order(items: &[Item], directives: &Directives, in_engine: &[i64]) -> Result<(), Off> {
    let rules = || {
        items.iter().filter_map(|item| match item {
            Item::Rule(rule) => Some(rule),
            Item::Marker(_) => None,
        })
    };
    let known: Vec<i64> = rules().filter_map(|rule| rule.id).collect();
    // libmodsecurity 3 keeps rules that a directive removes, and skips them: those are not among the items.
    let removed: Vec<i64> = match directives.version() {
        EngineVersion::V2 => Vec::new(),
        EngineVersion::V3 => {
            let ids = directives.rules().into_iter().filter_map(|rule| rule.id);
            ids.filter(|id| !known.contains(id)).collect()
        }
    };
    let mut found = in_engine.iter().copied().peekable();
    for phase in 1..=5 {
        for rule in rules().filter(|rule| rule.phase == phase) {
            while found.next_if(|id| removed.contains(id)).is_some() {
                while found.next_if(|id| *id == 0).is_some() {}
            }
            let is_next = ids(rule).all(|id| found.next() == Some(id));
            if !is_next {
                return Err(Off::at(&rule.place, "a rule that the engine has elsewhere, or otherwise"));
            }
        }
    }
    while found.next_if(|id| removed.contains(id)).is_some() {
        while found.next_if(|id| *id == 0).is_some() {}
    }
    match found.next() {
        None => Ok(()),
        Some(id) => Err(Off::new(format!("the engine has a rule {id} that is not in the files"))),
    }
}

/// The ids of a rule and of the links of its chain, 0 for each without one.
fn ids(rule: &Rule) -> impl Iterator<Item = i64> + '_ {
    rule.links.iter().map(|link| link.values("id").last().and_then(|id| id.parse().ok()).unwrap_or(0))
}
