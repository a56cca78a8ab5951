//! `SecRuleUpdateTargetById`, `…ByTag` and `…ByMsg`: targets of rules that a later directive adds or takes out.

use super::model::{Item, Rule};
use super::off::Off;
use crate::rules::directives::targets::targets;
use crate::rules::directives::{Directive, Directives};
use crate::rules::version::EngineVersion;

/// Changes the targets of the rules that such directives name.
///
/// # Errors
/// When one does not only add targets or take them out.
pub(super) fn apply(items: &mut [Item], directives: &Directives) -> Result<(), Off> {
    let version = directives.version();
    let all = directives.all();
    for (index, directive) in all.iter().enumerate() {
        let Some(kind) = Kind::of(directive) else { continue };
        let words: Vec<String> =
            directive.words(version).iter().map(|word| word.as_read_by(version)).collect();
        let [named, list] = words.as_slice() else {
            return Err(Off::at(&directive.place, format!("{} with other than two words", directive.name)));
        };
        let new = targets(list, version);
        let stands_before = |rule: &Rule| {
            let mut earlier = all.get(..index).unwrap_or_default().iter();
            version == EngineVersion::V3 || earlier.any(|earlier| earlier.place == rule.place)
        };
        for item in items.iter_mut() {
            let Item::Rule(rule) = item else { continue };
            if kind
                .names(named, rule, version)
                .ok_or_else(|| Off::at(&directive.place, "rules that it may name"))?
                && stands_before(rule)
                && let Some(link) = rule.links.first_mut()
            {
                link.updates.extend(new.iter().cloned());
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Id,
    Tag,
    Message,
}

impl Kind {
    fn of(directive: &Directive) -> Option<Self> {
        match directive.name.to_ascii_lowercase().as_str() {
            "secruleupdatetargetbyid" => Some(Self::Id),
            "secruleupdatetargetbytag" => Some(Self::Tag),
            "secruleupdatetargetbymsg" => Some(Self::Message),
            _ => None,
        }
    }

    /// Whether the text names the rule; `None`: that is not known.
    fn names(self, text: &str, rule: &Rule, version: EngineVersion) -> Option<bool> {
        let link = rule.links.first()?;
        let has = |mut values: Box<dyn Iterator<Item = &str> + '_>| match version {
            EngineVersion::V3 => Some(values.any(|value| value == text)),
            EngineVersion::V2 => {
                let expression = regex_lite::Regex::new(text).ok()?;
                Some(values.any(|value| expression.is_match(value)))
            }
        };
        match self {
            Self::Id => {
                let id = rule.id;
                let mut ranges = text.split([',', ' ']).filter(|word| !word.is_empty()).map(|word| {
                    let (from, to) = word.split_once('-').unwrap_or((word, word));
                    Some((from.trim().parse::<i64>().ok()?, to.trim().parse::<i64>().ok()?))
                });
                ranges.try_fold(false, |found, range| {
                    let (from, to) = range?;
                    Some(found || id.is_some_and(|id| (from..=to).contains(&id)))
                })
            }
            Self::Tag => has(Box::new(link.values("tag"))),
            Self::Message => has(Box::new(link.values("msg"))),
        }
    }
}
