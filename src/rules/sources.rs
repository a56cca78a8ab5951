//! Where rules come from: the operator's files, or the built-in settings and the installed Core Rule Set.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::rules::screening::Screening;
use crate::rules::version::EngineVersion;

/// The parts of the Core Rule Set as Debian's `modsecurity-crs` installs it: set-up, exclusions before, rules,
/// exclusions after. The exclusion files are the operator's and may be missing.
const CRS_SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
const CRS_BEFORE: &str = "/etc/modsecurity/crs/REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf";
pub(crate) const CRS_RULES: &str = "/usr/share/modsecurity-crs/rules";
const CRS_AFTER: &str = "/etc/modsecurity/crs/RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf";

/// The source of one set of rules.
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

/// All sets of rules to load, and the engine that loads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSources {
    /// The engine that loads the rules.
    pub engine: EngineVersion,
    /// The rules for requests that name no application, or an unknown one.
    pub default: RuleSource,
    /// The name of each application and its rule files.
    pub applications: Vec<(String, Vec<PathBuf>)>,
    /// How the screen takes part.
    pub screening: Screening,
}

impl RuleSources {
    /// Iterates over the sets of rules: the default one (without a name), then that of each application (with its name).
    pub fn each(&self) -> impl Iterator<Item = (Option<&str>, RuleSource)> {
        let applications = self.applications.iter();
        let named = applications.map(|(name, files)| (Some(name.as_str()), RuleSource::Files(files.clone())));
        std::iter::once((None, self.default.clone())).chain(named)
    }
}

/// Writes the directives that include the installed Core Rule Set as [`core_rule_set`] lists it.
///
/// # Errors
/// When there is none.
pub(crate) fn include_core_rule_set() -> io::Result<String> {
    let files = core_rule_set()?;
    let mut text = String::from(
        "# The Core Rule Set: its set-up, exclusions before it, its rules, exclusions behind it.\n",
    );
    let mut has_rules = false;
    for file in files {
        let is_rule = file.starts_with(CRS_RULES);
        match is_rule {
            true if has_rules => {}
            // All at once: a newer version may have other files.
            true => text.push_str(&format!("Include {CRS_RULES}/*.conf\n")),
            false => text.push_str(&format!("Include {}\n", file.display())),
        }
        has_rules |= is_rule;
    }
    Ok(text)
}

/// Lists the files of the installed Core Rule Set in the order in which an engine must load them.
///
/// # Errors
/// When the folder of the rules cannot be read, or has no `.conf` files.
pub(crate) fn core_rule_set() -> io::Result<Vec<PathBuf>> {
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
