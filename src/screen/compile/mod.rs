//! The rules as the engine reads them, evaluated as far as they do not depend on a request. What is left are guards.

mod compare;
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
pub(in crate::screen) use variables::{VARIABLES, depends_on_body, variable};

use crate::rules::directives::Directives;
use crate::rules::directives::targets::targets;

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
    compare::order(&items, directives, in_engine)?;
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

/// The ids of rules that look at `TX:MSC_…`: they deny what the engine could not evaluate, which the screen has.
#[must_use]
pub fn gives_up(directives: &Directives) -> Vec<i64> {
    let version = directives.version();
    let rules = directives.rules();
    let looks = rules.iter().filter(|rule| {
        let words = rule.directive.words(version);
        let list = words.first().map(|word| word.as_read_by(version)).unwrap_or_default();
        targets(&list, version).iter().any(|target| {
            let expression = target.expression.as_deref().unwrap_or(&target.selector);
            let name = expression.trim_start_matches('^').to_ascii_uppercase();
            target.name.eq_ignore_ascii_case("TX") && name.starts_with("MSC_")
        })
    });
    looks.filter_map(|rule| rule.id).collect()
}

#[cfg(test)]
mod tests;
