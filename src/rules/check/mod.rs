//! What is wrong with directives, before an engine has them.
//!
//! libmodsecurity 3 takes a regular expression that does not compile, an operator that it does not know, a chain without an
//! end, and a quote that nobody closes: such a rule never matches, or only what nobody meant. Of what else is wrong the
//! engines do not always say where it stands. So the agent knows the names that an engine knows, and compiles each regular
//! expression as the engine will. What both an engine and the author of a rule mean passes; in doubt the engine has the word.

pub mod actions;
mod expressions;
mod faults;
mod known;
pub mod operators;
pub(crate) mod suggestion;
pub mod transformations;
pub mod variables;

use std::collections::HashMap;

pub use faults::{Cause, Fault, Faults, Kind};

use crate::ffi::pcre2::Options;
use crate::rules::directives::words::Word;
use crate::rules::directives::{Directive, Directives, Place, Rule};
use crate::rules::version::EngineVersion;
use operators::Operator;

/// Checks all directives.
///
/// # Errors
/// All that is wrong with them.
pub fn check(directives: &Directives) -> Result<(), Faults> {
    let version = directives.version();
    let mut faults = Vec::new();
    for directive in directives.all() {
        if let Err(cause) = check_directive(directive, version) {
            faults.push(Fault { place: directive.place.clone(), cause });
        }
    }
    for fault in check_rules(&directives.rules(), version) {
        // One is enough for a directive: of the others most follow from it.
        if !faults.iter().any(|found| found.place == fault.place) {
            faults.push(fault);
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Faults(faults)),
    }
}

fn check_directive(directive: &Directive, version: EngineVersion) -> Result<(), Cause> {
    let words = directive.words(version);
    let is_open = |word: &&Word| !word.is_closed && (version == EngineVersion::V2 || word.quote == Some('"'));
    if let Some(quote) = words.iter().find(is_open).and_then(|word| word.quote) {
        return Err(Cause::OpenQuote { quote });
    }
    let text = |index: usize| words.get(index).map(|word| word.as_read_by(version)).unwrap_or_default();
    match directive.name.to_ascii_lowercase().as_str() {
        "secrule" => {
            variables::check(&text(0), version)?;
            let Some(operator) = Operator::read(&words, version) else { return Ok(()) };
            operator.check(version)?;
            actions::check(&text(operator.actions), version)
        }
        "secaction" | "secdefaultaction" => actions::check(&text(0), version),
        "secrulescript" | "secruleupdateactionbyid" => actions::check(&text(1), version),
        "secruleupdatetargetbyid" => variables::check(&text(1), version),
        "secruleupdatetargetbytag" | "secruleupdatetargetbymsg" => {
            check_pattern(directive, &text(0), version)?;
            variables::check(&text(1), version)
        }
        "secruleremovebytag" | "secruleremovebymsg" => check_pattern(directive, &text(0), version),
        "secauditlogrelevantstatus" => {
            let options = match version {
                EngineVersion::V2 => Options::DOTALL,
                EngineVersion::V3 => Options::DOTALL | Options::MULTILINE,
            };
            expressions::check(&directive.name, &text(0), options)
        }
        _ => Ok(()),
    }
}

/// The tag or message that a directive goes by: a regular expression in ModSecurity 2, which crashes where one does not
/// compile.
fn check_pattern(directive: &Directive, pattern: &str, version: EngineVersion) -> Result<(), Cause> {
    match version {
        EngineVersion::V2 => expressions::check(&directive.name, pattern, Options::default()),
        EngineVersion::V3 => Ok(()),
    }
}

/// Ids that are missing or taken, and chains that do not go on.
fn check_rules(rules: &[Rule<'_>], version: EngineVersion) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut ids = HashMap::<i64, &Place>::new();
    let mut chain = None;
    for rule in rules {
        let place = &rule.directive.place;
        let fault = |cause| Fault { place: place.clone(), cause };
        let is = |name: &str| rule.directive.name.eq_ignore_ascii_case(name);
        let is_sec_rule = is("SecRule");
        // ModSecurity 3 needs no id for actions, and does not compare it; neither does for scripts.
        let has_id = is_sec_rule || version == EngineVersion::V2 && is("SecAction");
        if rule.is_chained {
            // The link that was meant is missing, and this rule stands for itself.
            if let (Some(first), true) = (chain, rule.id.is_some() && is_disruptive(rule)) {
                faults.push(Fault { place: Place::clone(first), cause: Cause::ChainWithoutEnd });
            }
        } else if has_id {
            match rule.id {
                None | Some(0) => faults.push(fault(Cause::NoId)),
                Some(id) => match ids.get(&id) {
                    Some(first) => faults.push(fault(Cause::IdTaken { id, by: Place::clone(first) })),
                    None => drop(ids.insert(id, place)),
                },
            }
        }
        if version == EngineVersion::V2 || is_sec_rule {
            chain = rule.goes_on.then_some(if rule.is_chained { chain.unwrap_or(place) } else { place });
        }
    }
    if let Some(first) = chain {
        faults.push(Fault { place: first.clone(), cause: Cause::ChainWithoutEnd });
    }
    faults
}

/// Whether it has an action that only the first rule of a chain may have.
fn is_disruptive(rule: &Rule<'_>) -> bool {
    let names = ["allow", "block", "deny", "drop", "pass", "proxy", "redirect"];
    rule.actions.iter().any(|action| names.iter().any(|name| action.is(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::rules::{RuleEngine, RuleSettings};
    use crate::rules::warnings;

    /// Pieces that directives are made of, and some that break them.
    const PIECES: [&str; 58] = [
        "SecRule ",
        "SecAction ",
        "SecMarker ",
        "SecDefaultAction ",
        "SecRuleScript ",
        "SecRuleRemoveByTag ",
        "SecRuleUpdateTargetById ",
        "SecAuditLogRelevantStatus ",
        "ARGS",
        "&ARGS",
        "!ARGS",
        "TX",
        "XML",
        "HTTP_",
        "@rx ",
        "@rx",
        "@pm ",
        "@streq ",
        "@detectSQLi",
        "@contanis ",
        "@",
        "!@",
        "(",
        ")",
        "[",
        "\\",
        "\\\n",
        "\n",
        "\r\n",
        "\"",
        "'",
        "|",
        ",",
        ":",
        "/",
        ".",
        ";",
        "=",
        " ",
        "\t",
        "#",
        "%{",
        "}",
        "id:1",
        "id:0",
        "id:99999999999999999999",
        "chain",
        "deny",
        "t:none",
        "t:",
        "msg:'",
        "ctl:",
        "ctl:ruleRemoveByTag=",
        "é",
        "\u{b}",
        "a",
        "1",
        "phase:2",
    ];

    #[test]
    fn whatever_directives_are_there_is_an_answer() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let settings =
            RuleSettings { engine: RuleEngine::On, request_body_access: true, response_body_access: true };
        let mut counts = [0, 0];
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..random(24) {
                text.extend_from_slice(PIECES[random(PIECES.len())].as_bytes());
                if random(20) == 0 {
                    text.push(random(256) as u8);
                }
            }
            for version in [EngineVersion::V2, EngineVersion::V3] {
                let mut directives = Directives::new(version);
                if directives.add(&text, "rules.conf").is_err() {
                    continue;
                }
                let found = check(&directives);
                counts[usize::from(found.is_err())] += 1;
                assert!(found.err().is_none_or(|faults| !faults.to_string().contains('\n')));
                let _ = warnings::find(&directives, &directives.rules(), &settings);
            }
        }
        assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
    }
}
