//! The rules as the engine reads them, evaluated as far as they do not depend on a request. What is left are guards.

mod effects;
mod fold;
pub(in crate::screen) mod ir;
mod model;
mod off;
mod partial;
mod readers;
mod settings;
mod steps;
mod tx;
mod update;
mod variables;

pub(in crate::screen) use fold::number;
pub use off::Off;
pub use partial::Counts;
pub use settings::Settings;
pub(in crate::screen) use variables::{VARIABLES, variable};

use crate::rules::directives::Directives;

/// What is left of a configuration.
#[derive(Debug)]
pub(in crate::screen) struct Compiled {
    pub(in crate::screen) settings: Settings,
    pub(in crate::screen) rules: partial::Evaluated,
}

/// Evaluates a configuration as far as it is the same for every request. `in_engine` has the ids of the rules that the engine
/// has loaded.
///
/// # Errors
/// The directive or the rule for which no request can be proven clean.
pub(in crate::screen) fn compile(directives: &Directives, in_engine: &[i64]) -> Result<Compiled, Off> {
    let settings = settings::settings(directives)?;
    let mut items = model::items(directives, in_engine)?;
    update::apply(&mut items, directives)?;
    let rules = partial::evaluate_all(&items, directives.version(), settings.is_audit_relevant)?;
    // ModSecurity 2 then has messages of its own on each request, which make the transaction one for the audit log.
    let is_noisy =
        directives.version() == crate::rules::version::EngineVersion::V2 && !settings.has_data_folder;
    if settings.is_audit_relevant && rules.opens_collections && is_noisy {
        return Err(Off::new("collections without SecDataDir make a record of every request"));
    }
    Ok(Compiled { settings, rules })
}

#[cfg(test)]
mod tests;
