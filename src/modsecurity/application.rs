//! Applications: sets of rules of their own for requests that name them (the argument `app`).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use crate::modsecurity::library::Library;
use crate::modsecurity::load::{LoadError, RuleSet, RuleSource, Summary, load};
use crate::rules::version::EngineVersion;

/// What is to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSources {
    /// Into which engine.
    pub engine: EngineVersion,
    /// For requests that name no application, or one that is not known.
    pub default: RuleSource,
    /// The files of each application, by its name.
    pub applications: Vec<(String, Vec<PathBuf>)>,
}

impl RuleSources {
    /// Where the default rules come from, and those of each application, by its name.
    pub fn each(&self) -> impl Iterator<Item = (Option<&str>, RuleSource)> {
        let applications = self.applications.iter();
        let named = applications.map(|(name, files)| (Some(name.as_str()), RuleSource::Files(files.clone())));
        std::iter::once((None, self.default.clone())).chain(named)
    }
}

/// Which applications there are.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    /// Their names.
    pub known: HashSet<Vec<u8>>,
    /// What becomes of requests that name another.
    pub unknown: UnknownApplication,
}

/// What becomes of a request that names an application nobody has configured (`--unknown-app`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownApplication {
    /// The default rules inspect it.
    #[default]
    Default,
    /// Nobody inspects it.
    Error,
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
}

/// Why not all are loaded.
#[derive(Debug)]
pub enum ApplicationError {
    /// Some cannot be.
    Load {
        /// Whose; none: the default ones.
        application: Option<String>,
        /// Why.
        cause: LoadError,
    },
    /// This program was built without the engine.
    NotBuilt(EngineVersion),
}

impl fmt::Display for ApplicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { application: Some(name), cause } => write!(f, "application {name}: {cause}"),
            Self::Load { application: None, cause } => cause.fmt(f),
            Self::NotBuilt(version) => write!(f, "this program was built without {version}"),
        }
    }
}

impl std::error::Error for ApplicationError {}

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
