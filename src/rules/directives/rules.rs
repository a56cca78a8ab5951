//! What is to be known of a rule without being the engine: its id, and what directives that remove rules go by.

use super::Directive;
use crate::rules::version::EngineVersion;

/// A rule in a file: `SecRule`, `SecAction` or `SecRuleScript`.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    /// The directive.
    pub directive: &'a Directive,
    /// Its id.
    pub id: Option<i64>,
    /// It is a link of a chain, and not the first.
    pub is_chained: bool,
    tags: Vec<String>,
    message: Option<String>,
}

/// The rules among these directives.
pub(super) fn rules(directives: &[Directive], version: EngineVersion) -> Vec<Rule<'_>> {
    let mut goes_on = false;
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
        // In ModSecurity 3 only these are chained; the chain waits for the next.
        let is_link = version == EngineVersion::V2 || name == "secrule";
        if is_link {
            rule.is_chained = std::mem::take(&mut goes_on);
        }
        let words = words(&directive.arguments);
        for (name, value) in words.iter().skip(before_actions).flat_map(|word| actions(word)) {
            match name.to_ascii_lowercase().as_str() {
                "id" => rule.id = value.parse().ok(),
                "chain" if is_link => goes_on = true,
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
    /// `SecRuleRemoveById`: from this one to that.
    Ids(Vec<(i64, i64)>),
    /// `SecRuleRemoveByTag`.
    Tag(Pattern),
    /// `SecRuleRemoveByMsg`.
    Message(Pattern),
}

impl Removal {
    /// What a directive removes.
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

    /// Whether it names this rule, the first of its chain.
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

/// What a tag or a message is compared with.
#[derive(Debug)]
pub(super) enum Pattern {
    /// It is this.
    Text(String),
    /// It has this in it.
    Expression(regex_lite::Regex),
    /// Nobody here knows: whatever is missing may have been meant.
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

/// `5` or `5-9`.
fn range(word: &str) -> Option<(i64, i64)> {
    let word = word.trim_matches(['"', '\'']);
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// The words of a directive's arguments. What stands between quotes is one word, and a backslash keeps a quote in it from
/// ending it.
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

/// The actions in a list of them, with their values: `id:5,msg:'a, b'`.
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
