//! `--check`: loads the rules, reports what is wrong with them, and exits.

use std::process::ExitCode;

use super::{fail, print};
use crate::modsecurity::Rules;
use crate::settings::Settings;

/// Loads the default rules and those of each application, and prints a line for each; the exit status is 1 when
/// some are wrong.
pub(super) fn check(settings: &Settings) -> ExitCode {
    match Rules::load(&settings.rules) {
        Ok((_, summaries)) => {
            let lines = settings.rules.each().zip(summaries).map(|((application, source), summary)| {
                let of = application.map(|name| format!(" for {name}")).unwrap_or_default();
                format!("rules fine{of}: {}; {source}", summary.rules)
            });
            print(&lines.collect::<Vec<_>>().join("\n"))
        }
        Err(error) => fail(1, &error),
    }
}
