//! What is said of loaded rules, at a start, at a reload and by `--check`: how many there are, and what they let pass.

use slog::{Logger, info, warn};

use crate::ffi::rules::RuleEngine;
use crate::modsecurity::load::Summary;
use crate::rules::sources::{RuleSource, RuleSources};
use crate::rules::warnings::Warning;
use crate::settings::Settings;

/// The name of the rules for requests that name no application.
const DEFAULT: &str = "default";

/// The most sets of rules that a line names; of the others it has the number.
const NAMED: usize = 10;

/// The sets of rules in use, and what was found when they were loaded.
#[derive(Clone, Debug)]
pub(crate) struct LoadedRules {
    /// Where they come from.
    pub(crate) sources: RuleSources,
    /// What was found: first of the default rules, then of those of each application.
    pub(crate) summaries: Vec<Summary>,
}

impl LoadedRules {
    /// The number of rules of all sets together.
    pub(crate) fn total(&self) -> usize {
        self.summaries.iter().map(|summary| summary.rules.in_engine).sum()
    }

    /// Iterates over the sets of rules, each with its application.
    fn each(&self) -> impl Iterator<Item = (Option<&str>, RuleSource, &Summary)> {
        self.sources.each().zip(&self.summaries).map(|((name, source), summary)| (name, source, summary))
    }

    /// What was found in the rules of this application, if it has some.
    fn find(&self, application: Option<&str>) -> Option<&Summary> {
        self.each().find(|(name, ..)| *name == application).map(|(.., summary)| summary)
    }
}

/// Logs the rules after a start.
pub(crate) fn log_start(log: &Logger, settings: &Settings, rules: &LoadedRules) {
    for (application, source, summary) in rules.each() {
        log_counts(&of(log, application), &source, summary, None);
    }
    log_warnings(log, settings, rules);
}

/// Logs the rules after a reload, beside those before.
pub(crate) fn log_reload(log: &Logger, settings: &Settings, before: &LoadedRules, rules: &LoadedRules) {
    for (application, source, summary) in rules.each() {
        log_counts(&of(log, application), &source, summary, before.find(application));
    }
    log_warnings(log, settings, rules);
    // Last, where it is seen.
    for (application, _, summary) in rules.each() {
        match before.find(application) {
            Some(before) => log_loss(&of(log, application), before, summary),
            None => info!(of(log, application), # "application_added", "application added"),
        }
    }
    for (application, ..) in before.each().filter(|(name, ..)| rules.find(*name).is_none()) {
        info!(of(log, application), # "application_removed", "application removed");
    }
}

/// The logger for a set of rules, which names its application.
fn of(log: &Logger, application: Option<&str>) -> Logger {
    match application {
        Some(name) => log.new(slog::o!("app" => name.to_owned())),
        None => log.clone(),
    }
}

fn log_counts(log: &Logger, source: &RuleSource, summary: &Summary, before: Option<&Summary>) {
    let rules = summary.rules;
    match before {
        None => {
            info!(log, # "rules_loaded", "rules loaded"; "rules_in_files" => rules.in_files, "rules_in_engine" => rules.in_engine,
                "rules_removed" => rules.removed, "from" => %source);
        }
        Some(before) => {
            info!(log, # "rules_loaded", "rules loaded"; "rules_in_files" => rules.in_files, "rules_in_engine" => rules.in_engine,
                "rules_before" => before.rules.in_engine, "rules_removed" => rules.removed, "from" => %source);
        }
    }
}

fn log_warnings(log: &Logger, settings: &Settings, rules: &LoadedRules) {
    for (warning, names) in warnings(settings, rules) {
        warn!(log, # "rules_warning", "{}", warning; "add" => warning.remedy(), "rules_of" => names);
    }
}

/// Warns where a reload has taken away what cannot be meant to go in passing.
fn log_loss(log: &Logger, before: &Summary, after: &Summary) {
    let (rules, rules_before) = (after.rules.in_engine, before.rules.in_engine);
    if rules < rules_before.div_ceil(2) {
        warn!(log, # "reload_left_fewer_rules", "the reload has left far fewer rules than there were, was that meant?";
            "rules_in_engine" => rules, "rules_before" => rules_before);
    }
    match (before.engine, after.engine) {
        (RuleEngine::On | RuleEngine::DetectionOnly, RuleEngine::Off) => {
            warn!(log, # "reload_switched_rules_off", "the reload has switched the rules off, was that meant?");
        }
        (RuleEngine::On, RuleEngine::DetectionOnly) => {
            warn!(log, # "reload_left_detection_only", "the reload has left rules that only detect, was that meant?");
        }
        _ => {}
    }
}

/// What the rules let pass, and which sets of rules do, by name.
pub(crate) fn warnings(settings: &Settings, rules: &LoadedRules) -> Vec<(Warning, String)> {
    let has_responses = settings.limits.responses.count > 0;
    let mut found: Vec<(Warning, Vec<String>)> = Vec::new();
    for (application, _, summary) in rules.each() {
        let name = application.unwrap_or(DEFAULT).to_owned();
        for warning in summary.warnings.iter() {
            if warning == Warning::ResponseBodies && !has_responses {
                continue;
            }
            match found.iter_mut().find(|(known, _)| *known == warning) {
                Some((_, names)) => names.push(name.clone()),
                None => found.push((warning, vec![name.clone()])),
            }
        }
    }
    found.into_iter().map(|(warning, names)| (warning, list(&names))).collect()
}

/// The first names, and how many others there are.
fn list(names: &[String]) -> String {
    let named = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(" ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        others => format!("{named} and {others} more"),
    }
}
