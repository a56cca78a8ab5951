//! Loading rules, in either version: which files in which order, and whether the engine has all rules that are in them.

use std::collections::HashMap;
use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ffi::rules::RuleEngine;
use crate::modsecurity::audit::{self, AuditLog};
use crate::modsecurity::error::{ApplicationError, LoadError};
use crate::modsecurity::library::Library;
use crate::modsecurity::log_files::LogFiles;
use crate::rules::check::check;
use crate::rules::directives::needs::Needs;
use crate::rules::directives::{Counts, Directives, compare, remaining};
use crate::rules::progress;
use crate::rules::sources::{RuleSource, RuleSources, core_rule_set, include_core_rule_set};
use crate::rules::version::EngineVersion;
use crate::rules::warnings::{self, Warnings};

/// The program's name and version, as audit logs have it.
pub(super) const CONNECTOR: &CStr =
    match CStr::from_bytes_with_nul(concat!("modsecurity-spoa/", env!("CARGO_PKG_VERSION"), "\0").as_bytes())
    {
        Ok(name) => name,
        Err(_) => c"modsecurity-spoa",
    };

/// The loaded rules of one application.
#[derive(Debug)]
pub struct RuleSet<L> {
    /// The library that holds the rules.
    pub library: Arc<L>,
    /// The audit log that the rules name.
    pub audit: Arc<AuditLog>,
    /// What they need of the operating system.
    pub needs: Needs,
    /// The log files that they name.
    logs: LogFiles,
}

/// A summary of loaded rules, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The number of rules.
    pub rules: Counts,
    /// The value of `SecRuleEngine`.
    pub engine: RuleEngine,
    /// What the rules let pass.
    pub warnings: Warnings,
}

/// Loads the rules into a library of their own.
///
/// # Errors
/// When a file cannot be read, a log cannot be written to, a directive is wrong, the engine refuses one, or the engine has
/// fewer rules than the files.
pub fn load<L: Library>(source: &RuleSource) -> Result<(RuleSet<L>, Summary), LoadError> {
    let (settings, files, last) = match source {
        RuleSource::Default => {
            let files = core_rule_set().map_err(LoadError::NoCoreRuleSet)?;
            (L::DEFAULT_SETTINGS, &files.clone(), L::LAST_RULES)
        }
        RuleSource::Files(files) => ("", files, ""),
    };
    // The files are read here before the engine reads them, as this names the file that cannot be read. ModSecurity 2.9
    // even ends the process when a file is a folder.
    let directives = read(settings, files, last, L::VERSION)?;
    check(&directives).map_err(LoadError::Wrong)?;
    let logs = audit::check(&directives, L::VERSION).map_err(LoadError::Log)?;
    progress::begin(format_args!("what {source} names, in the engine"));
    let mut library = L::load(settings, files, last)?;
    library.set_tags(multi_match_tags(&directives));
    drop(logs);
    let audit = AuditLog::of(&directives, L::VERSION);
    let failed = |cause| LoadError::Engine { what: "the rules".to_owned(), cause };
    let (settings_in_engine, ids) = library.contents().map_err(failed)?;
    let rules = compare(&directives, &ids).map_err(LoadError::Missing)?;
    let warnings = warnings::find(&directives, &remaining(&directives, &ids), &settings_in_engine);
    let summary = Summary { rules, engine: settings_in_engine.engine, warnings };
    let needs = Needs::of(&directives);
    let logs = LogFiles::new(audit::files(&directives, L::VERSION));
    Ok((RuleSet { library: Arc::new(library), audit: Arc::new(audit), needs, logs }, summary))
}

/// The tags of each rule with the action `multiMatch`, separated by commas, by the rule's id. Tags with macros are left
/// out, as only a transaction can expand them.
fn multi_match_tags(directives: &Directives) -> HashMap<i64, Vec<u8>> {
    let rules = directives.rules().into_iter().filter(|rule| rule.values("multiMatch").next().is_some());
    let tags = rules.filter_map(|rule| {
        let tags: Vec<_> = rule.values("tag").filter(|tag| !tag.contains("%{")).collect();
        Some((rule.id?, tags.join(",").into_bytes()))
    });
    tags.collect()
}

/// Returns what is loaded without `-f`, as the text of a file.
///
/// # Errors
/// When there is no Core Rule Set.
pub(super) fn default_rules<L: Library>() -> Result<String, LoadError> {
    let core_rule_set = include_core_rule_set().map_err(LoadError::NoCoreRuleSet)?;
    Ok([L::DEFAULT_SETTINGS, "\n", &core_rule_set, L::LAST_RULES].concat())
}

/// Reads the directives as an engine of this version should read them.
fn read(
    settings: &str,
    files: &[PathBuf],
    last: &str,
    version: EngineVersion,
) -> Result<Directives, LoadError> {
    let mut directives = Directives::new(version);
    directives.add(settings, "built-in settings").map_err(LoadError::Read)?;
    files.iter().try_for_each(|path| directives.add_file(path)).map_err(LoadError::Read)?;
    directives.add(last, "built-in last rules").map_err(LoadError::Read)?;
    Ok(directives)
}

/// The rules of all applications, and the default rules.
#[derive(Debug)]
pub struct RuleSets<L> {
    default: RuleSet<L>,
    applications: HashMap<Vec<u8>, RuleSet<L>>,
}

impl<L> RuleSets<L> {
    /// The library with the rules of an application; the default rules for a message that names none, or an unknown one.
    #[must_use]
    pub fn of(&self, application: Option<&[u8]>) -> &RuleSet<L> {
        application.and_then(|name| self.applications.get(name)).unwrap_or(&self.default)
    }

    /// What all of them need of the operating system.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = self.default.needs.clone();
        self.applications.values().for_each(|rules| needs.add(&rules.needs));
        needs
    }

    /// The log files that all of them name.
    pub(crate) fn log_files(&self) -> LogFiles {
        let mut logs = self.default.logs.clone();
        self.applications.values().for_each(|rules| logs.add(&rules.logs));
        logs
    }
}

/// Loads the rules of all applications. Returns with them a summary of the default rules, then one for each application
/// in its order.
///
/// # Errors
/// When one set of rules cannot be loaded; the error says whose.
pub(super) fn load_all<L: Library>(
    sources: &RuleSources,
) -> Result<(RuleSets<L>, Vec<Summary>), ApplicationError> {
    let failed = |application| move |cause| ApplicationError::Load { application, cause };
    let (default, summary) = load(&sources.default).map_err(failed(None))?;
    let (mut applications, mut summaries) = (HashMap::new(), vec![summary]);
    for (name, files) in &sources.applications {
        let (rules, summary) = load(&RuleSource::Files(files.clone())).map_err(failed(Some(name.clone())))?;
        applications.insert(name.clone().into_bytes(), rules);
        summaries.push(summary);
    }
    Ok((RuleSets { default, applications }, summaries))
}

#[cfg(all(test, feature = "engine2"))]
mod tests {
    use super::*;
    use crate::ffi::v2::Ruleset;

    #[test]
    fn the_last_rules_of_modsecurity_2_are_the_last_of_their_phases() {
        let (rules, _) = load::<Ruleset>(&RuleSource::Default).unwrap();
        // The phases follow one another, the first and the second one first.
        let (_, ids) = rules.library.contents().unwrap();
        let behind = |rule| ids[ids.iter().position(|id| *id == rule).unwrap() + 1];
        // The built-in settings have the first rule of phase 2, and the Core Rule Set has the first of phase 3.
        assert_eq!(behind(8_700_012), 8_700_001);
        assert_eq!(behind(8_700_007), 950_020);
    }
}
