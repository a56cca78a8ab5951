//! The parts of a rule that can be read without an engine: the id, and the tags and message by which other directives
//! remove the rule.

use super::Directive;
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
    tags: Vec<String>,
    message: Option<String>,
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
        let mut rule = Rule { directive, id: None, is_chained: false, tags: Vec::new(), message: None };
        // In ModSecurity 3 only a SecRule can be a link; a chain stays open until the next SecRule.
        let is_link = version == EngineVersion::V2 || name == "secrule";
        if is_link {
            rule.is_chained = std::mem::take(&mut is_chain_open);
        }
        let words = words(&directive.arguments);
        for (name, value) in words.iter().skip(before_actions).flat_map(|word| actions(word)) {
            match name.to_ascii_lowercase().as_str() {
                "id" => rule.id = value.parse().ok(),
                "chain" if is_link => is_chain_open = true,
                "tag" => rule.tags.push(value),
                "msg" => rule.message = Some(value),
                _ => {}
            }
        }
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
        let words = words(&directive.arguments);
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
            Self::Tag(pattern) => rule.tags.iter().any(|tag| pattern.matches(tag)),
            Self::Message(pattern) => rule.message.as_deref().is_some_and(|text| pattern.matches(text)),
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

/// Splits a directive's arguments into words. Text between quotes is one word, in which a backslash escapes a quote.
pub(super) fn words(arguments: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = arguments.trim_start();
    while let Some(first) = rest.chars().next() {
        let mut word = String::new();
        let quote = Some(first).filter(|first| matches!(first, '"' | '\''));
        let mut chars = rest.char_indices().skip(usize::from(quote.is_some())).peekable();
        let mut end = rest.len();
        while let Some((at, char)) = chars.next() {
            match (quote, char) {
                (Some(quote), '\\') => match chars.next_if(|(_, next)| *next == quote || *next == '\\') {
                    Some((_, next)) => word.push(next),
                    None => word.push(char),
                },
                (Some(quote), _) if char == quote => {
                    end = at + 1;
                    break;
                }
                (None, _) if char.is_ascii_whitespace() => {
                    end = at;
                    break;
                }
                _ => word.push(char),
            }
        }
        words.push(word);
        rest = rest.get(end..).unwrap_or_default().trim_start();
    }
    words
}

/// Splits a list of actions like `id:5,msg:'a, b'` into pairs of name and value.
pub(super) fn actions(list: &str) -> Vec<(String, String)> {
    let mut actions = vec![String::new()];
    let (mut is_quoted, mut is_escaped) = (false, false);
    for char in list.chars() {
        match char {
            '\'' if !is_escaped => is_quoted = !is_quoted,
            ',' if !is_quoted => actions.push(String::new()),
            _ => actions.iter_mut().last().into_iter().for_each(|action| action.push(char)),
        }
        is_escaped = char == '\\' && !is_escaped;
    }
    let parts = |action: String| {
        let (name, value) = action.split_once(':').unwrap_or((&action, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    actions.into_iter().map(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_between_blanks_or_quotes() {
        for (arguments, expected) in [
            (r#"ARGS "@rx a \"b\" \d" "id:1,t:none""#, &["ARGS", r#"@rx a "b" \d"#, "id:1,t:none"][..]),
            (r#"ARGS "@rx \\" "id:1""#, &["ARGS", r"@rx \", "id:1"]),
            ("  'a b'\tc\"d ", &["a b", "c\"d"]),
            (r#""a""b""#, &["a", "b"]),
            ("\"open", &["open"]),
            ("é \"ü\"", &["é", "ü"]),
            (" ", &[]),
        ] {
            assert_eq!(words(arguments), expected, "{arguments}");
        }
    }

    #[test]
    fn actions_are_between_commas() {
        let found = actions(r"id:'5', msg:'it\'s a, id:6' ,chain,tag:a/b:c");
        let expected = [("id", "5"), ("msg", r"it\'s a, id:6"), ("chain", ""), ("tag", "a/b:c")];
        assert!(found.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected), "{found:?}");
    }
}
