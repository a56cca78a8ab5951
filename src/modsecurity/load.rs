//! Loading rules: which files, in which order, and what is wrong with them.

use std::collections::HashMap;
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

/// The program in audit logs.
pub(super) const CONNECTOR: &str = concat!("modsecurity-spoa/", env!("CARGO_PKG_VERSION"));

/// Rules that are loaded, and what is known of them.
#[derive(Debug)]
pub struct RuleSet<L> {
    /// The library with the rules.
    pub library: Arc<L>,
    /// The rules that ask whether a body could be parsed.
    pub body_checks: Vec<i64>,
    /// What they need of the operating system.
    pub needs: Needs,
}

/// What loaded rules amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many there are.
    pub rules: Counts,
    /// `SecRuleEngine`.
    pub engine: RuleEngine,
    /// `SecRequestBodyAccess`.
    pub request_body_access: bool,
    /// `SecResponseBodyAccess`.
    pub response_body_access: bool,
}

/// Loads the rules into a library of their own.
pub fn load<L: Library>(source: &RuleSource) -> Result<(RuleSet<L>, Summary), LoadError> {
    let (settings, files) = match source {
        RuleSource::Default => (L::DEFAULT_SETTINGS, &core_rule_set().map_err(LoadError::NoCoreRuleSet)?),
        RuleSource::Files(files) => ("", files),
    };
    // First, as engines say less of files that they cannot read, and one ends the process over a folder.
    let directives = read(settings, files, L::VERSION)?;
    let library = L::load(settings, files)?;
    let failed = |cause| LoadError::Engine { source: "the rules".to_owned(), cause };
    let (RuleSettings { engine, request_body_access, response_body_access }, loaded) =
        library.contents().map_err(failed)?;
    let ids: Vec<i64> = loaded.iter().map(|rule| rule.rule).collect();
    let rules = compare(&directives, &ids).map_err(LoadError::Missing)?;
    let summary = Summary { rules, engine, request_body_access, response_body_access };
    let body_checks = body_checks::find(loaded, settings);
    let needs = Needs::of(&directives);
    Ok((RuleSet { library: Arc::new(library), body_checks, needs }, summary))
}

/// The directives as this version should read them.
fn read(settings: &str, files: &[PathBuf], version: EngineVersion) -> Result<Directives, LoadError> {
    let mut directives = Directives::new(version);
    directives.add(settings, "built-in settings").map_err(LoadError::Read)?;
    files.iter().try_for_each(|path| directives.add_file(path)).map_err(LoadError::Read)?;
    Ok(directives)
}

/// All sets of rules.
#[derive(Debug)]
pub struct RuleSets<L> {
    default: RuleSet<L>,
    applications: HashMap<Vec<u8>, RuleSet<L>>,
}

impl<L> RuleSets<L> {
    /// The rules of an application; the default ones where it is not named or not known.
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

/// Loads all into libraries of one kind; the summaries are those of the default rules and of each application, in their
/// order.
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
