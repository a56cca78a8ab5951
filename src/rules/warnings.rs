//! What loaded rules let pass, and what their author should add: an engine says nothing of it.

use std::fmt;

use crate::ffi::rules::{RuleEngine, RuleSettings};
use crate::rules::directives::targets::{Target, targets};
use crate::rules::directives::{Directives, Rule};
use crate::rules::version::EngineVersion;

/// What loaded rules let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// `SecRuleEngine` is off, or no file has it.
    EngineOff,
    /// `SecRuleEngine` is `DetectionOnly`.
    DetectionOnly,
    /// There are no rules.
    NoRules,
    /// No rule can deny.
    NothingDenies,
    /// `SecRequestBodyAccess` is off, or no file has it.
    RequestBodies,
    /// `SecResponseBodyAccess` is off, or no file has it.
    ResponseBodies,
    /// No rule looks at `REQBODY_ERROR`.
    UnparsedBodies,
    /// No rule looks at `MULTIPART_STRICT_ERROR`.
    BrokenMultipart,
    /// No rule has JSON parsed.
    Json,
    /// No rule has XML parsed.
    Xml,
    /// The engine leaves arguments out above a number, and no rule counts them.
    Arguments,
    /// ModSecurity 2 gives up expressions at a limit, and no rule asks whether it did.
    PcreLimits,
}

impl Warning {
    /// Every warning, in the order of the bits.
    const ALL: [Self; 12] = [
        Self::EngineOff,
        Self::DetectionOnly,
        Self::NoRules,
        Self::NothingDenies,
        Self::RequestBodies,
        Self::ResponseBodies,
        Self::UnparsedBodies,
        Self::BrokenMultipart,
        Self::Json,
        Self::Xml,
        Self::Arguments,
        Self::PcreLimits,
    ];

    /// What to add to the rules. All of it is in what `--print-rules` prints.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::EngineOff | Self::DetectionOnly => "SecRuleEngine On",
            Self::NoRules => "Include lines, as --print-rules prints them",
            Self::NothingDenies => "deny, in the actions of a rule",
            Self::RequestBodies => "SecRequestBodyAccess On",
            Self::ResponseBodies => "SecResponseBodyAccess On",
            Self::UnparsedBodies => {
                r#"SecRule REQBODY_ERROR "!@eq 0" "id:8700005,phase:2,t:none,log,deny,status:400""#
            }
            Self::BrokenMultipart => {
                r#"SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:8700006,phase:2,t:none,log,deny,status:400""#
            }
            Self::Json => {
                r#"SecRule REQUEST_HEADERS:Content-Type "@rx (?i)^\s*application/(?:[a-z0-9.+-]+\+)?json\b" "id:8700003,phase:1,t:none,nolog,pass,ctl:requestBodyProcessor=JSON""#
            }
            Self::Xml => {
                r#"SecRule REQUEST_HEADERS:Content-Type "@rx (?i)^\s*(?:application|text)/(?:[a-z0-9.+-]+\+)?xml\b" "id:8700002,phase:1,t:none,nolog,pass,ctl:requestBodyProcessor=XML""#
            }
            Self::Arguments => {
                r#"SecRule &ARGS "@ge 3500" "id:8700001,phase:2,t:none,log,deny,status:400", and SecArgumentsLimit 3500"#
            }
            Self::PcreLimits => {
                r#"as the last rule SecRule TX:/^MSC_/ "!@streq 0" "id:8700007,phase:2,t:none,log,deny,status:400""#
            }
        }
    }
}

/// One sentence, as the log has it.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EngineOff => "the rules are off, nothing is inspected",
            Self::DetectionOnly => "the rules only detect, nothing is denied",
            Self::NoRules => "there are no rules, nothing is denied",
            Self::NothingDenies => "no rule can deny",
            Self::RequestBodies => "request bodies are not inspected",
            Self::ResponseBodies => "response bodies are not inspected",
            Self::UnparsedBodies => "bodies that cannot be parsed pass, no rule looks at REQBODY_ERROR",
            Self::BrokenMultipart => {
                "multipart bodies that break the format pass, no rule looks at MULTIPART_STRICT_ERROR"
            }
            Self::Json => "JSON bodies are not parsed",
            Self::Xml => "XML bodies are not parsed",
            Self::Arguments => "arguments beyond the engine's limit pass, no rule looks at &ARGS",
            Self::PcreLimits => "requests that exceed PCRE's limits pass, no rule looks at TX:/^MSC_/",
        })
    }
}

/// A set of warnings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warnings(u64);

impl Warnings {
    /// The number that stands for the set between processes of one program.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The set of this number.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Those in the set, the gravest first.
    pub fn iter(self) -> impl Iterator<Item = Warning> {
        Warning::ALL.into_iter().filter(move |warning| self.has(*warning))
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn has(self, warning: Warning) -> bool {
        self.0 & 1 << warning as u64 != 0
    }
}

impl FromIterator<Warning> for Warnings {
    fn from_iter<I: IntoIterator<Item = Warning>>(warnings: I) -> Self {
        Self(warnings.into_iter().fold(0, |bits, warning| bits | 1 << warning as u64))
    }
}

/// What the rules let pass. `rules` are those of the directives that the engine has; what is said of bodies follows from
/// their not being inspected.
#[must_use]
pub fn find(directives: &Directives, rules: &[Rule<'_>], settings: &RuleSettings) -> Warnings {
    let version = directives.version();
    let looks_at = |matches: &dyn Fn(&Target) -> bool| {
        // A link asks only where those before it have matched.
        let first = rules.iter().filter(|rule| !rule.is_chained);
        first
            .flat_map(|rule| rule_targets(rule, version))
            .any(|target| !target.is_excluded && matches(&target))
    };
    let named = |name: &'static str| looks_at(&|target| target.name.eq_ignore_ascii_case(name));
    let has_processor = |processor: &str| {
        let value = format!("requestBodyProcessor={processor}");
        rules.iter().any(|rule| rule.values("ctl").any(|control| control.eq_ignore_ascii_case(&value)))
    };
    let is_there = |warning: &Warning| match warning {
        Warning::EngineOff => settings.engine == RuleEngine::Off,
        Warning::DetectionOnly => settings.engine == RuleEngine::DetectionOnly,
        Warning::NoRules => rules.is_empty(),
        Warning::NothingDenies => !rules.is_empty() && !can_deny(directives, rules),
        Warning::RequestBodies => !settings.request_body_access,
        Warning::ResponseBodies => !settings.response_body_access,
        Warning::UnparsedBodies => settings.request_body_access && !named("REQBODY_ERROR"),
        Warning::BrokenMultipart => settings.request_body_access && !named("MULTIPART_STRICT_ERROR"),
        Warning::Json => settings.request_body_access && !has_processor("JSON"),
        Warning::Xml => settings.request_body_access && !has_processor("XML"),
        Warning::Arguments => {
            let counts = |target: &Target| target.is_counted && target.name.eq_ignore_ascii_case("ARGS");
            has_argument_limit(directives) && !looks_at(&counts)
        }
        Warning::PcreLimits => {
            let asks = |target: &Target| {
                target.name.eq_ignore_ascii_case("TX")
                    && target.selector.to_ascii_uppercase().contains("MSC_")
            };
            version == EngineVersion::V2 && !looks_at(&asks)
        }
    };
    Warning::ALL.into_iter().filter(is_there).collect()
}

fn rule_targets(rule: &Rule<'_>, version: EngineVersion) -> Vec<Target> {
    if !rule.directive.name.eq_ignore_ascii_case("SecRule") {
        return Vec::new();
    }
    let words = rule.directive.words(version);
    words.first().map(|word| targets(&word.as_read_by(version), version)).unwrap_or_default()
}

/// Whether the engine leaves arguments out: ModSecurity 2 does without being told.
fn has_argument_limit(directives: &Directives) -> bool {
    let is_limit = |name: &str| name.eq_ignore_ascii_case("SecArgumentsLimit");
    directives.version() == EngineVersion::V2
        || directives.all().iter().any(|directive| is_limit(&directive.name))
}

/// Whether a request can be denied by a rule, through an action of its own or one of `SecDefaultAction`.
fn can_deny(directives: &Directives, rules: &[Rule<'_>]) -> bool {
    const DENYING: [&str; 4] = ["deny", "drop", "redirect", "proxy"];
    const OTHERS: [&str; 2] = ["allow", "pass"];
    let version = directives.version();
    let by_default = directives.all().iter().filter(|all| all.name.eq_ignore_ascii_case("SecDefaultAction"));
    let mut by_default = by_default.flat_map(|directive| {
        let words = directive.words(version);
        let list = words.first().map(|word| word.as_read_by(version)).unwrap_or_default();
        crate::rules::directives::actions::actions(&list, version)
    });
    let does_default_deny = by_default.any(|action| DENYING.iter().any(|name| action.is(name)));
    rules.iter().filter(|rule| !rule.is_chained).any(|rule| {
        let has = |names: &[&str]| rule.actions.iter().any(|action| names.iter().any(|name| action.is(name)));
        has(&DENYING) || (does_default_deny && !has(&OTHERS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: RuleSettings =
        RuleSettings { engine: RuleEngine::On, request_body_access: true, response_body_access: true };

    fn found(text: &str, version: EngineVersion, settings: RuleSettings) -> Vec<Warning> {
        let mut directives = Directives::new(version);
        directives.add(text, "rules.conf").unwrap();
        find(&directives, &directives.rules(), &settings).iter().collect()
    }

    /// A rule for each warning that is not of a setting, against which it is.
    const RULES: [(Warning, &str); 7] = [
        (Warning::NothingDenies, "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny\"\n"),
        (Warning::UnparsedBodies, "SecRule reqbody_error \"!@eq 0\" \"id:2,phase:2,pass\"\n"),
        (
            Warning::BrokenMultipart,
            "SecRule REQBODY_ERROR_MSG|MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:3,phase:2,pass\"\n",
        ),
        (Warning::Json, "SecAction \"id:4,phase:1,pass,ctl:requestBodyProcessor=json\"\n"),
        (Warning::Xml, "SecAction \"id:5,phase:1,pass,ctl:requestBodyProcessor=XML\"\n"),
        (Warning::Arguments, "SecRule &ARGS \"@ge 1000\" \"id:6,phase:2,pass\"\n"),
        (Warning::PcreLimits, "SecRule TX:/^MSC_/ \"!@streq 0\" \"id:7,phase:2,pass\"\n"),
    ];

    #[test]
    fn each_rule_answers_one_warning() {
        for left_out in 0..=RULES.len() {
            let rules = RULES.iter().enumerate().filter(|(index, _)| *index != left_out);
            let text: String = rules.map(|(_, (_, text))| *text).collect();
            let expected: Vec<_> = RULES.get(left_out).map(|(warning, _)| *warning).into_iter().collect();
            assert_eq!(found(&text, EngineVersion::V2, SETTINGS), expected);
            let of_two = [Warning::Arguments, Warning::PcreLimits];
            let expected: Vec<_> = expected.into_iter().filter(|warning| !of_two.contains(warning)).collect();
            assert_eq!(found(&text, EngineVersion::V3, SETTINGS), expected);
        }
        let all: String = RULES.iter().map(|(_, text)| *text).collect();
        let off =
            RuleSettings { engine: RuleEngine::Off, request_body_access: false, response_body_access: false };
        let expected = [Warning::EngineOff, Warning::RequestBodies, Warning::ResponseBodies];
        assert_eq!(found(&all, EngineVersion::V2, off), expected);
        assert_eq!(
            found("", EngineVersion::V3, off),
            [&expected[..1], &[Warning::NoRules], &expected[1..]].concat()
        );
    }

    #[test]
    fn what_is_asked_in_a_link_or_excluded_is_not_asked() {
        let link = "SecRule ARGS \"@rx a\" \"id:1,phase:2,deny,chain\"\nSecRule REQBODY_ERROR \"!@eq 0\"\n";
        assert!(found(link, EngineVersion::V3, SETTINGS).contains(&Warning::UnparsedBodies));
        let excluded = "SecRule ARGS|!REQBODY_ERROR|REQBODY_ERROR_MSG \"@rx a\" \"id:1,phase:2,deny\"\n";
        assert!(found(excluded, EngineVersion::V3, SETTINGS).contains(&Warning::UnparsedBodies));
        let limit = "SecArgumentsLimit 100\n";
        assert!(found(limit, EngineVersion::V3, SETTINGS).contains(&Warning::Arguments));
    }

    #[test]
    fn a_default_action_denies() {
        let rule = |actions: &str| format!("SecRule ARGS \"@rx a\" \"id:1,phase:1{actions}\"\n");
        let denies = |text: &str| !found(text, EngineVersion::V3, SETTINGS).contains(&Warning::NothingDenies);
        let default = "SecDefaultAction \"phase:1,log,deny\"\n";
        assert!(denies(&format!("{default}{}", rule(",block"))) && denies(&format!("{default}{}", rule(""))));
        assert!(
            !denies(&format!("{default}{}", rule(",pass"))) && !denies(&rule(",block")) && !denies(&rule(""))
        );
    }

    #[test]
    fn sets_come_back() {
        let set: Warnings = [Warning::PcreLimits, Warning::EngineOff].into_iter().collect();
        assert_eq!(Warnings::from_bits(set.bits()), set);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Warning::EngineOff, Warning::PcreLimits]);
    }
}
