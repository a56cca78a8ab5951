//! Where rules come from: the operator's files, or the built-in settings and the installed Core Rule Set.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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
}

/// Why the folder of applications cannot be used.
#[derive(Debug)]
pub enum FolderError {
    /// The folder cannot be read.
    Read(PathBuf, io::Error),
    /// The name of a file is not that of an application.
    Name(PathBuf),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(folder, cause) => write!(f, "cannot read {} (--apps): {cause}", folder.display()),
            Self::Name(file) => write!(
                f,
                "{file:?} (--apps): the name of an application has printable ASCII characters and no blank"
            ),
        }
    }
}

impl std::error::Error for FolderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, cause) => Some(cause),
            Self::Name(_) => None,
        }
    }
}

/// Whether an application may have this name.
#[must_use]
pub fn is_name_of_application(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

impl RuleSources {
    /// These sources and, for the application NAME, each file NAME.conf of this folder: after the application's other
    /// files, if it has some. Hidden files, and files with other ends, do not count.
    ///
    /// # Errors
    /// When the folder cannot be read, or a file has a name that no application may have.
    pub fn with_folder(mut self, folder: Option<&Path>) -> Result<Self, FolderError> {
        let Some(folder) = folder else { return Ok(self) };
        let failed = |cause| FolderError::Read(folder.to_owned(), cause);
        let mut files = Vec::new();
        for entry in folder.read_dir().map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !is_hidden && path.extension().is_some_and(|extension| extension == "conf") && !path.is_dir() {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            let name = file.file_stem().and_then(|name| name.to_str());
            let Some(name) = name.filter(|name| is_name_of_application(name)) else {
                return Err(FolderError::Name(file));
            };
            match self.applications.iter_mut().find(|(known, _)| known == name) {
                Some((_, others)) => others.push(file),
                None => self.applications.push((name.to_owned(), vec![file])),
            }
        }
        Ok(self)
    }

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
