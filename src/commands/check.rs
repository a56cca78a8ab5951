//! `--check`: loads the rules and the certificates, reports what is wrong with them, and exits.

use std::process::ExitCode;

use super::{fail, print, warn};
use crate::daemon::privileges;
use crate::daemon::rules_report::{LoadedRules, warnings};
use crate::daemon::tls;
use crate::modsecurity::Rules;
use crate::settings::Settings;

/// Loads the default rules and those of each application, as the user and from the root of all files that the agent would
/// have, and prints a line for each on standard output, and one for each
/// warning on standard error. The exit status is 1 when rules or certificates are wrong, or when there is a warning and the check is
/// strict.
pub(super) fn check(settings: &Settings, is_strict: bool) -> ExitCode {
    if let Err(error) = privileges::give_up(&settings.process) {
        return fail(1, &error);
    }
    let sources = match settings.rules.clone().with_folder(settings.apps.as_deref()) {
        Ok(sources) => sources,
        Err(error) => return fail(1, &error),
    };
    let rules = match Rules::load(&sources) {
        Ok((_, summaries)) => LoadedRules { sources, summaries },
        Err(error) => return fail(1, &error),
    };
    if let Some(Err(error)) = settings.tls.as_ref().map(tls::load) {
        return fail(1, &error);
    }
    for variable in &settings.unknown_variables {
        warn(variable);
    }
    let warnings = warnings(settings, &rules);
    for (warning, names) in &warnings {
        warn(&format_args!("{warning} (rules of {names}); add {}", warning.remedy()));
    }
    let lines = rules.sources.each().zip(&rules.summaries).map(|((application, source), summary)| {
        let of = application.map(|name| format!(" for {name}")).unwrap_or_default();
        format!("rules fine{of}: {}; {source}", summary.rules)
    });
    let printed = print(&lines.collect::<Vec<_>>().join("\n"));
    match is_strict && !(warnings.is_empty() && settings.unknown_variables.is_empty()) {
        true => ExitCode::FAILURE,
        false => printed,
    }
}
