//! Compares the rules in the files with those in an engine.

use std::collections::HashSet;
use std::fmt;

use super::rules::{Removal, Rule};
use super::{Directives, Place};
use crate::rules::version::EngineVersion;

/// Numbers of rules. Each `SecRule`, `SecAction` and `SecRuleScript` counts as one, also as a link of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The rules in the files.
    pub in_files: usize,
    /// The rules in the engine, without those that the engine keeps but skips.
    pub in_engine: usize,
    /// The rules that directives like `SecRuleRemoveById` remove.
    pub removed: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { in_files, in_engine, removed } = self;
        write!(f, "rules in files: {in_files}, in engine: {in_engine}, removed by directives: {removed}")
    }
}

/// The error when rules of the files are not in the engine and no directive removes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The id and the place of the first missing rule; `None` when no missing rule has an id.
    pub first: Option<(i64, Place)>,
    /// The number of missing rules that have an id.
    pub with_id: usize,
    /// The numbers of rules in the files and in the engine.
    pub counts: Counts,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.first {
            Some((id, place)) => write!(f, "rule {id} at {place} is not in the engine")?,
            None => f.write_str("rules without an id (links of chains) are not in the engine")?,
        }
        if self.with_id > 1 {
            write!(f, ", nor are {} others", self.with_id - 1)?;
        }
        write!(f, "; {}", self.counts)
    }
}

impl std::error::Error for Missing {}

/// Compares the rules in the files with those in the engine. `in_engine` has the id of each rule, also of the links of
/// chains, and 0 for a rule without an id.
///
/// # Errors
/// When the engine lacks rules that no directive removes.
pub fn compare(directives: &Directives, in_engine: &[i64]) -> Result<Counts, Missing> {
    let ids: HashSet<i64> = in_engine.iter().copied().collect();
    let rules = directives.rules();
    let removals = Removals::of(directives);
    let (mut missing, mut removed, mut is_removed) = (Vec::new(), 0, false);
    for rule in &rules {
        // A chain is removed as a whole.
        if !rule.is_chained {
            let is_there = rule.id.is_none_or(|id| ids.contains(&id));
            is_removed = removals.cover(rule, is_there);
            if !is_there && !is_removed {
                missing.push(rule);
            }
        }
        removed += usize::from(is_removed);
    }
    // ModSecurity 3 keeps removed rules and skips them.
    let in_engine = match directives.version {
        EngineVersion::V2 => in_engine.len(),
        EngineVersion::V3 => in_engine.len().saturating_sub(removed),
    };
    let counts = Counts { in_files: rules.len(), in_engine, removed };
    if missing.is_empty() && in_engine + removed >= rules.len() {
        return Ok(counts);
    }
    let first = missing.first().and_then(|rule| Some((rule.id?, rule.directive.place.clone())));
    Err(Missing { first, with_id: missing.len(), counts })
}

/// Returns the rules that no directive removes, with all links of their chains.
pub(crate) fn remaining<'a>(directives: &'a Directives, in_engine: &[i64]) -> Vec<Rule<'a>> {
    let ids: HashSet<i64> = in_engine.iter().copied().collect();
    let removals = Removals::of(directives);
    let mut is_removed = false;
    let mut rules = directives.rules();
    rules.retain(|rule| {
        // A chain goes as a whole.
        if !rule.is_chained {
            is_removed = removals.cover(rule, rule.id.is_none_or(|id| ids.contains(&id)));
        }
        !is_removed
    });
    rules
}

/// The directives that remove rules, each with its position among all directives.
struct Removals<'a> {
    directives: &'a Directives,
    removals: Vec<(usize, Removal)>,
}

impl<'a> Removals<'a> {
    /// Finds the directives that remove rules.
    fn of(directives: &'a Directives) -> Self {
        let all = directives.all().iter().enumerate();
        let removal = |(index, directive)| Some((index, Removal::of(directive, directives.version)?));
        Self { directives, removals: all.filter_map(removal).collect() }
    }

    /// Whether a directive removes `rule`, the first of its chain; `is_there` says that the engine has the rule.
    ///
    /// ModSecurity 2 deletes removed rules, so a rule that is there was not removed, and a directive removes only rules
    /// that stand before the directive.
    fn cover(&self, rule: &Rule<'_>, is_there: bool) -> bool {
        let from = match self.directives.version {
            EngineVersion::V3 => 0,
            EngineVersion::V2 if is_there => return false,
            EngineVersion::V2 => self.index(rule),
        };
        self.removals.iter().any(|(index, removal)| *index >= from && removal.names(rule))
    }

    /// The position of a rule among all directives.
    fn index(&self, rule: &Rule<'_>) -> usize {
        let all = self.directives.all();
        all.iter().position(|directive| std::ptr::eq(directive, rule.directive)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "SecRule A \"@rx a\" \"id:1,phase:1,deny,chain,tag:'x-one',msg:'a message'\"\nSecRule B \"@rx id:9\"\n\
                         SecAction \"id:'2',phase:1,pass\"\nSecMarker END\n";

    fn counts(version: EngineVersion, text: &str, in_engine: &[i64]) -> Result<[usize; 3], Missing> {
        let mut directives = Directives::new(version);
        directives.add(text, "rules.conf").unwrap();
        let found = compare(&directives, in_engine)?;
        Ok([found.in_files, found.in_engine, found.removed])
    }

    #[test]
    fn what_is_in_the_files_must_be_in_the_engine() {
        for version in [EngineVersion::V2, EngineVersion::V3] {
            assert_eq!(counts(version, CHAIN, &[1, 0, 2]), Ok([3, 3, 0]));
            let missing = counts(version, CHAIN, &[1, 0]).unwrap_err().to_string();
            assert!(missing.starts_with("rule 2 at rules.conf:3 is not in the engine; "), "{missing}");
            let missing = counts(version, CHAIN, &[]).unwrap_err().to_string();
            assert!(
                missing.starts_with("rule 1 at rules.conf:1 is not in the engine, nor are 1 others"),
                "{missing}"
            );
            let missing = counts(version, CHAIN, &[1, 2]).unwrap_err().to_string();
            assert!(
                missing.contains("without an id") && missing.contains("in files: 3, in engine: 2"),
                "{missing}"
            );
        }
    }

    #[test]
    fn what_directives_remove_may_be_missing() {
        for removal in [
            "SecRuleRemoveById 7 1-1",
            "SecRuleRemoveById \"1,7\"",
            "SecRuleRemoveByTag x-one",
            "SecRuleRemoveByMsg \"a message\"",
        ] {
            let text = format!("{CHAIN}{removal}\n");
            // ModSecurity 3 has them and skips them.
            assert_eq!(counts(EngineVersion::V3, &text, &[1, 0, 2]), Ok([3, 1, 2]), "{removal}");
            assert_eq!(counts(EngineVersion::V2, &text, &[2]), Ok([3, 1, 2]), "{removal}");
            assert!(counts(EngineVersion::V2, &text, &[1, 0]).is_err(), "{removal}");
        }
        let by_pattern = |pattern: &str| {
            counts(EngineVersion::V2, &format!("{CHAIN}SecRuleRemoveByTag {pattern}\n"), &[2])
        };
        assert_eq!(by_pattern("^x-"), Ok([3, 1, 2]));
        assert_eq!(
            by_pattern("\"(?=x)\""),
            Ok([3, 1, 2]),
            "regex-lite has no look-ahead, so the pattern counts as matching"
        );
        assert!(by_pattern("^one").is_err());
    }

    #[test]
    fn what_remains_is_without_what_is_removed() {
        let mut directives = Directives::new(EngineVersion::V3);
        directives.add(format!("{CHAIN}SecRuleRemoveById 1\n"), "rules.conf").unwrap();
        let ids: Vec<_> = remaining(&directives, &[1, 0, 2]).iter().map(|rule| rule.id).collect();
        assert_eq!(ids, [Some(2)]);
    }

    #[test]
    fn modsecurity_2_removes_what_was_before() {
        let text = format!("SecRuleRemoveById 1\n{CHAIN}");
        assert_eq!(counts(EngineVersion::V2, &text, &[1, 0, 2]), Ok([3, 3, 0]));
        assert!(counts(EngineVersion::V2, &text, &[2]).is_err());
    }
}
