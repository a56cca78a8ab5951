//! The parts of a rule that can be read without an engine: the id, and the tags and message by which other directives
//! remove the rule.

use super::Directive;
use super::actions::{Action, actions};
use super::words::Word;
use crate::rules::version::EngineVersion;

/// A rule in a file: `SecRule`, `SecAction` or `SecRuleScript`.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    /// The directive that makes the rule.
    pub directive: &'a Directive,
    /// The id of the rule, if it has one.
    pub id: Option<i64>,
    /// The rule is a link of a chain, and not the first one.
    pub is_chained: bool,
    /// The next rule is a link of its chain.
    pub(crate) goes_on: bool,
    pub(crate) actions: Vec<Action>,
}

impl Rule<'_> {
    /// The values of its actions of this name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.actions.iter().filter(move |action| action.is(name)).map(|action| action.value.as_str())
    }
}

/// The rules among these directives.
pub(super) fn rules(directives: &[Directive], version: EngineVersion) -> Vec<Rule<'_>> {
    let mut is_chain_open = false;
    let mut rules = Vec::new();
    for directive in directives {
        let name = directive.name.to_ascii_lowercase();
        let before_actions = match name.as_str() {
            "secrule" => 2,
            "secrulescript" => 1,
            "secaction" => 0,
            _ => continue,
        };
        let words = directive.words(version);
        let actions: Vec<_> = words
            .iter()
            .skip(before_actions)
            .flat_map(|word| actions(&word.as_read_by(version), version))
            .collect();
        // In ModSecurity 3 only a SecRule can be a link; a chain stays open until the next SecRule.
        let is_link = version == EngineVersion::V2 || name == "secrule";
        let is_chained = is_link && std::mem::take(&mut is_chain_open);
        let mut rule = Rule { directive, id: None, is_chained, goes_on: false, actions };
        rule.id = rule.values("id").last().and_then(|id| id.parse().ok());
        rule.goes_on = is_link && rule.values("chain").next().is_some();
        is_chain_open |= rule.goes_on;
        rules.push(rule);
    }
    rules
}

/// A directive that removes rules.
#[derive(Debug)]
pub(super) enum Removal {
    /// `SecRuleRemoveById`: ranges of ids, both ends included.
    Ids(Vec<(i64, i64)>),
    /// `SecRuleRemoveByTag`: what one tag of a rule must match.
    Tag(Pattern),
    /// `SecRuleRemoveByMsg`: what the message of a rule must match.
    Message(Pattern),
}

impl Removal {
    /// What a directive removes; `None` for a directive that does not remove rules.
    pub(super) fn of(directive: &Directive, version: EngineVersion) -> Option<Self> {
        let name = directive.name.to_ascii_lowercase();
        let words: Vec<_> = directive.words(version).iter().map(Word::text).collect();
        let pattern = || Pattern::new(words.join(" "), version);
        Some(match name.as_str() {
            "secruleremovebyid" => {
                let words = words.iter().flat_map(|word| word.split([',', ' ', '\t']));
                Self::Ids(words.filter_map(range).collect())
            }
            "secruleremovebytag" => Self::Tag(pattern()),
            "secruleremovebymsg" => Self::Message(pattern()),
            _ => return None,
        })
    }

    /// Whether the directive names `rule`, the first of its chain.
    pub(super) fn names(&self, rule: &Rule<'_>) -> bool {
        match self {
            Self::Ids(ranges) => {
                rule.id.is_some_and(|id| ranges.iter().any(|(from, to)| (*from..=*to).contains(&id)))
            }
            Self::Tag(pattern) => rule.values("tag").any(|tag| pattern.matches(tag)),
            Self::Message(pattern) => rule.values("msg").last().is_some_and(|text| pattern.matches(text)),
        }
    }
}

/// The text or the expression with which a tag or a message is compared.
#[derive(Debug)]
pub(super) enum Pattern {
    /// Matches an equal text (ModSecurity 3).
    Text(String),
    /// Matches a text in which the expression is found (ModSecurity 2).
    Expression(regex_lite::Regex),
    /// An expression that cannot be compiled here. It matches every text: any missing rule may be one that it removes.
    Anything,
}

impl Pattern {
    fn new(text: String, version: EngineVersion) -> Self {
        match version {
            EngineVersion::V3 => Self::Text(text),
            EngineVersion::V2 => regex_lite::Regex::new(&text).map_or(Self::Anything, Self::Expression),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Text(expected) => expected == text,
            Self::Expression(expression) => expression.is_match(text),
            Self::Anything => true,
        }
    }
}

/// Reads an id (`5`) or a range of ids (`5-9`).
fn range(word: &str) -> Option<(i64, i64)> {
    let word = word.trim_matches(['"', '\'']);
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    Some((from.parse().ok()?, to.parse().ok()?))
}
