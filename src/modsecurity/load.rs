//! Loading rules: which files, in which order, and what is wrong with them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ffi::rules::{RuleEngine, RuleSettings};
use crate::modsecurity::body_checks;
use crate::modsecurity::library::Library;
use crate::rules::directives::{Counts, Directives, Missing, ReadError, compare};
use crate::rules::version::EngineVersion;

/// The program in audit logs.
pub(super) const CONNECTOR: &str = concat!("modsecurity-spoa/", env!("CARGO_PKG_VERSION"));

/// The parts of the Core Rule Set as Debian's `modsecurity-crs` installs it: set-up, exclusions before, rules,
/// exclusions after. The exclusion files are the operator's and may be missing.
const CRS_SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
const CRS_BEFORE: &str = "/etc/modsecurity/crs/REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf";
const CRS_RULES: &str = "/usr/share/modsecurity-crs/rules";
const CRS_AFTER: &str = "/etc/modsecurity/crs/RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf";

/// Where the rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// The built-in settings and the installed Core Rule Set.
    Default,
    /// These files, in this order, and nothing else.
    Files(Vec<PathBuf>),
}

impl fmt::Display for RuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "no -f given: built-in settings and the Core Rule Set in {CRS_RULES}"),
            Self::Files(files) => {
                let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                f.write_str(&names.join(" "))
            }
        }
    }
}

/// Why the rules are not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// A file cannot be given to the engine.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Without `-f`, there is no Core Rule Set to load.
    NoCoreRuleSet(io::Error),
    /// The engine refuses what it read.
    Engine {
        /// What was being loaded; the engine names the file itself when it is an included one.
        source: String,
        /// What the engine says.
        cause: String,
    },
    /// What the engine should have read cannot be read.
    Read(ReadError),
    /// The engine has lost rules.
    Missing(Missing),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, cause } => write!(f, "cannot read {}: {cause}", path.display()),
            Self::NoCoreRuleSet(cause) => {
                write!(
                    f,
                    "no -f given, and no Core Rule Set in {CRS_RULES} ({cause}): install modsecurity-crs"
                )
            }
            Self::Engine { source, cause } => {
                // The engine's text may have several lines; the operator gets one.
                let cause: Vec<_> = cause.split_whitespace().collect();
                write!(f, "cannot load {source}: {}", cause.join(" "))
            }
            Self::Read(error) => error.fmt(f),
            Self::Missing(missing) => write!(f, "the engine has lost rules: {missing}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Rules that are loaded, and what is known of them.
#[derive(Debug)]
pub struct RuleSet<L> {
    /// The library with the rules.
    pub library: Arc<L>,
    /// The rules that ask whether a body could be parsed.
    pub body_checks: Vec<i64>,
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
    Ok((RuleSet { library: Arc::new(library), body_checks }, summary))
}

/// The directives as this version should read them.
fn read(settings: &str, files: &[PathBuf], version: EngineVersion) -> Result<Directives, LoadError> {
    let mut directives = Directives::new(version);
    directives.add(settings, "built-in settings").map_err(LoadError::Read)?;
    files.iter().try_for_each(|path| directives.add_file(path)).map_err(LoadError::Read)?;
    Ok(directives)
}

/// The files of the installed Core Rule Set in the order in which they belong.
fn core_rule_set() -> io::Result<Vec<PathBuf>> {
    let mut rules = Vec::new();
    for entry in Path::new(CRS_RULES).read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            rules.push(path);
        }
    }
    if rules.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the folder has no .conf files"));
    }
    rules.sort();
    let optional = |path: &str| Some(PathBuf::from(path)).filter(|path| path.exists());
    let mut files = vec![PathBuf::from(CRS_SETUP)];
    files.extend(optional(CRS_BEFORE));
    files.append(&mut rules);
    files.extend(optional(CRS_AFTER));
    Ok(files)
}
