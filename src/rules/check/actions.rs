//! The actions of each engine, and what is the matter with those of a rule.

use super::known::{By, By::Both, By::Two, known};
use super::{Cause, Kind, expressions, transformations};
use crate::ffi::pcre2::Options;
use crate::rules::directives::actions::{Action, actions};
use crate::rules::version::EngineVersion;

const ACTIONS: [(&str, By); 53] = [
    ("accuracy", Both),
    ("allow", Both),
    ("append", Both),
    ("auditlog", Both),
    ("block", Both),
    ("capture", Both),
    ("chain", Both),
    ("ctl", Both),
    ("deny", Both),
    ("deprecatevar", Both),
    ("drop", Both),
    ("exec", Both),
    ("expirevar", Both),
    ("id", Both),
    ("initcol", Both),
    ("log", Both),
    ("logdata", Both),
    ("marker", Two),
    ("maturity", Both),
    ("msg", Both),
    ("multiMatch", Both),
    ("noauditlog", Both),
    ("nolog", Both),
    ("pass", Both),
    ("pause", Both),
    ("phase", Both),
    ("prepend", Both),
    ("proxy", Both),
    ("redirect", Both),
    ("rev", Both),
    ("sanitiseArg", Both),
    ("sanitiseMatched", Both),
    ("sanitiseMatchedBytes", Both),
    ("sanitiseRequestHeader", Both),
    ("sanitiseResponseHeader", Both),
    ("sanitizeArg", Two),
    ("sanitizeMatched", Two),
    ("sanitizeMatchedBytes", Two),
    ("sanitizeRequestHeader", Two),
    ("sanitizeResponseHeader", Two),
    ("setenv", Both),
    ("setrsc", Both),
    ("setsid", Both),
    ("setuid", Both),
    ("setvar", Both),
    ("severity", Both),
    ("skip", Both),
    ("skipAfter", Both),
    ("status", Both),
    ("t", Both),
    ("tag", Both),
    ("ver", Both),
    ("xmlns", Both),
];

/// What `ctl` can set.
const CONTROLS: [(&str, By); 19] = [
    ("auditEngine", Both),
    ("auditLogParts", Both),
    ("debugLogLevel", Two),
    ("forceRequestBodyVariable", Both),
    ("HashEnforcement", Two),
    ("HashEngine", Two),
    ("parseXmlIntoArgs", Two),
    ("requestBodyAccess", Both),
    ("requestBodyLimit", Two),
    ("requestBodyProcessor", Both),
    ("responseBodyAccess", Two),
    ("responseBodyLimit", Two),
    ("ruleEngine", Both),
    ("ruleRemoveById", Both),
    ("ruleRemoveByMsg", Two),
    ("ruleRemoveByTag", Both),
    ("ruleRemoveTargetById", Both),
    ("ruleRemoveTargetByMsg", Two),
    ("ruleRemoveTargetByTag", Both),
];

/// The names that this engine knows.
pub fn names(version: EngineVersion) -> impl Iterator<Item = &'static str> {
    known(ACTIONS.iter().copied(), version)
}

/// What `ctl` can set in this engine.
pub fn controls(version: EngineVersion) -> impl Iterator<Item = &'static str> {
    known(CONTROLS.iter().copied(), version)
}

/// Checks a list of actions.
pub(super) fn check(list: &str, version: EngineVersion) -> Result<(), Cause> {
    actions(list, version).iter().try_for_each(|action| check_one(action, version))
}

fn check_one(action: &Action, version: EngineVersion) -> Result<(), Cause> {
    if !action.is_closed {
        return Err(Cause::OpenQuote { quote: '\'' });
    }
    if !names(version).any(|known| action.is(known)) {
        return Err(Cause::unknown(Kind::Action, &action.name, names(version)));
    }
    if action.is("t") {
        return transformations::check(&action.value, version);
    }
    match action.value.split_once('=').filter(|_| action.is("ctl")) {
        Some((control, value)) => check_control(control, value, version),
        None => Ok(()),
    }
}

/// ModSecurity 2 takes these for regular expressions, and crashes where one does not compile.
const EXPRESSIONS: [&str; 4] =
    ["ruleRemoveByTag", "ruleRemoveByMsg", "ruleRemoveTargetByTag", "ruleRemoveTargetByMsg"];

fn check_control(control: &str, value: &str, version: EngineVersion) -> Result<(), Cause> {
    let is = |known: &str| known.eq_ignore_ascii_case(control);
    if !controls(version).any(is) {
        return Err(Cause::unknown(Kind::Control, control, controls(version)));
    }
    if version == EngineVersion::V2 && EXPRESSIONS.into_iter().any(is) {
        let expression = value.split_once(';').map_or(value, |(expression, _)| expression);
        return expressions::check(&format!("ctl:{control}"), expression, Options::default());
    }
    Ok(())
}
