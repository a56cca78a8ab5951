//! Loading rules, in either version: which files in which order, and whether the engine has all rules that are in them.

use std::collections::HashMap;
use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ffi::rules::{RuleEngine, RuleSettings};
use crate::modsecurity::body_checks;
use crate::modsecurity::error::{ApplicationError, LoadError};
use crate::modsecurity::library::Library;
use crate::rules::directives::needs::Needs;
use crate::rules::directives::{Counts, Directives, compare};
use crate::rules::sources::{RuleSource, RuleSources, core_rule_set};
use crate::rules::version::EngineVersion;

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
    /// The ids of rules that ask whether a body could be parsed.
    pub body_checks: Vec<i64>,
    /// What they need of the operating system.
    pub needs: Needs,
}

/// A summary of loaded rules, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The number of rules.
    pub rules: Counts,
    /// The value of `SecRuleEngine`.
    pub engine: RuleEngine,
    /// Whether `SecRequestBodyAccess` is on.
    pub request_body_access: bool,
    /// Whether `SecResponseBodyAccess` is on.
    pub response_body_access: bool,
}

/// Loads the rules into a library of their own.
///
/// # Errors
/// When a file cannot be read, the engine refuses a directive, or the engine has fewer rules than the files.
pub fn load<L: Library>(source: &RuleSource) -> Result<(RuleSet<L>, Summary), LoadError> {
    let (settings, files) = match source {
        RuleSource::Default => (L::DEFAULT_SETTINGS, &core_rule_set().map_err(LoadError::NoCoreRuleSet)?),
        RuleSource::Files(files) => ("", files),
    };
    // The files are read here before the engine reads them, as this names the file that cannot be read. ModSecurity 2.9
    // even ends the process when a file is a folder.
    let directives = read(settings, files, L::VERSION)?;
    let library = L::load(settings, files)?;
    let failed = |cause| LoadError::Engine { what: "the rules".to_owned(), cause };
    let (RuleSettings { engine, request_body_access, response_body_access }, loaded) =
        library.contents().map_err(failed)?;
    let ids: Vec<i64> = loaded.iter().map(|rule| rule.rule).collect();
    let rules = compare(&directives, &ids).map_err(LoadError::Missing)?;
    let summary = Summary { rules, engine, request_body_access, response_body_access };
    let body_checks = body_checks::find(loaded, settings);
    let needs = Needs::of(&directives);
    Ok((RuleSet { library: Arc::new(library), body_checks, needs }, summary))
}

/// Reads the directives as an engine of this version should read them.
fn read(settings: &str, files: &[PathBuf], version: EngineVersion) -> Result<Directives, LoadError> {
    let mut directives = Directives::new(version);
    directives.add(settings, "built-in settings").map_err(LoadError::Read)?;
    files.iter().try_for_each(|path| directives.add_file(path)).map_err(LoadError::Read)?;
    Ok(directives)
}

/// The rules of all applications, and the default rules.
#[derive(Debug)]
pub struct RuleSets<L> {
    default: RuleSet<L>,
    applications: HashMap<Vec<u8>, RuleSet<L>>,
}

impl<L> RuleSets<L> {
    /// The rules of an application; the default rules for a message that names none, or an unknown one.
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
