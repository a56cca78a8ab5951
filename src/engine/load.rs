//! Loading rules: which files, in which order, and what is wrong with them.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::body_checks;
use crate::ffi::v3::{self, Engine, Summary};

/// The settings that apply without `-f`.
const DEFAULT_SETTINGS: &str = include_str!("default.conf");

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
    /// A file cannot be read.
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
        cause: v3::LoadError,
    },
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
                let cause = cause.to_string();
                let cause: Vec<_> = cause.split_whitespace().collect();
                write!(f, "cannot load {source}: {}", cause.join(" "))
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Rules that are loaded, and what is known of them.
#[derive(Debug)]
pub struct RuleSet {
    /// The library with the rules.
    pub engine: Arc<Engine>,
    /// The rules that ask whether a body could be parsed.
    pub body_checks: Vec<i64>,
}

/// Loads the rules into a new engine.
pub fn load(source: &RuleSource) -> Result<(RuleSet, Summary), LoadError> {
    let failed = |what: &str| {
        let source = what.to_owned();
        move |cause| LoadError::Engine { source, cause }
    };
    let connector = concat!("modsecurity-spoa/", env!("CARGO_PKG_VERSION"));
    let mut engine = Engine::new(connector).map_err(failed("libmodsecurity"))?;
    match source {
        RuleSource::Default => {
            let files = core_rule_set().map_err(LoadError::NoCoreRuleSet)?;
            add_together(&mut engine, DEFAULT_SETTINGS, &files)?;
        }
        RuleSource::Files(files) => match &files[..] {
            [file] => add_file(&mut engine, file)?,
            files => add_together(&mut engine, "", files)?,
        },
    }
    let summary = engine.summary().map_err(v3::LoadError::Rules).map_err(failed("the rules"))?;
    let body_checks = body_checks::find(&engine, DEFAULT_SETTINGS);
    let body_checks = body_checks.map_err(v3::LoadError::Rules).map_err(failed("the rules"))?;
    Ok((RuleSet { engine: Arc::new(engine), body_checks }, summary))
}

/// Loads directives and then files as one configuration, so that what comes later counts. Of files that are loaded one by
/// one the engine keeps the settings of the first.
fn add_together(engine: &mut Engine, directives: &str, files: &[PathBuf]) -> Result<(), LoadError> {
    let mut text = directives.to_owned();
    for path in files {
        check_readable(path)?;
        let cause = |cause| LoadError::File { path: path.clone(), cause };
        let absolute = std::path::absolute(path).map_err(cause)?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_/.:-".contains(byte);
        if !absolute.as_os_str().as_bytes().iter().all(plain) {
            let said = "its name has characters that the engine cannot include; give a single -f that has Include lines";
            return Err(cause(io::Error::new(io::ErrorKind::InvalidFilename, said)));
        }
        text.push_str(&format!("Include {}\n", absolute.display()));
    }
    engine.add(&text, "").map_err(|cause| {
        // Of included files the engine does not always know the name. One that is wrong is so on its own.
        let alone = |path: &PathBuf| Engine::new("").map(|mut engine| add_file(&mut engine, path));
        let wrong = files.iter().find_map(|path| alone(path).ok()?.err());
        wrong.unwrap_or_else(|| LoadError::Engine { source: "the rules".to_owned(), cause })
    })
}

/// The engine only says "failed to open"; the system says why. It would load a directory as an empty file.
fn check_readable(path: &Path) -> Result<(), LoadError> {
    let readable = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(()),
    });
    readable.map_err(|cause| LoadError::File { path: path.to_owned(), cause })
}

fn add_file(engine: &mut Engine, path: &Path) -> Result<(), LoadError> {
    check_readable(path)?;
    let failed = |cause| LoadError::Engine { source: path.display().to_string(), cause };
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    engine.add_file(&name).map_err(|cause| match cause {
        v3::LoadError::Skipped(_) => LoadError::Engine {
            source: match skipping_line(path) {
                Some(line) => format!("{} line {line}", path.display()),
                None => path.display().to_string(),
            },
            cause,
        },
        cause => failed(cause),
    })
}

/// The line with the directive that the engine skips a part of, found by loading one directive after the other into an
/// engine of its own.
fn skipping_line(path: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(path).ok()?;
    let (mut directive, mut first) = (String::new(), 1);
    for (index, line) in text.lines().enumerate() {
        directive.push_str(line);
        directive.push('\n');
        if line.ends_with('\\') {
            continue;
        }
        let loaded = Engine::new("").ok()?.add(&directive, "");
        if matches!(loaded, Err(v3::LoadError::Skipped(_))) {
            return Some(first);
        }
        directive.clear();
        first = index + 2;
    }
    None
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
