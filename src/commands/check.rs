//! `--check`: loads the rules, says what is wrong with them, and exits.

use std::process::ExitCode;

use super::{fail, print};
use crate::modsecurity::Rules;
use crate::settings::Settings;

/// Loads the rules of all applications and prints a line for each.
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
