//! Why rules cannot be loaded, and why a message cannot be inspected.

use std::fmt;
use std::io;
use std::path::PathBuf;

use actors::EngineError;

use crate::rules::check::Faults;
use crate::rules::directives::{Missing, ReadError};
use crate::rules::sources::CRS_RULES;
use crate::rules::version::EngineVersion;

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
    /// Directives are wrong, whatever the engine says of them.
    Wrong(Faults),
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
            Self::Wrong(faults) => faults.fmt(f),
            Self::Missing(missing) => write!(f, "the engine has lost rules: {missing}"),
        }
    }
}

impl std::error::Error for LoadError {}

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

/// Why a message could not be inspected; the engine goes on. What the library says is in it as the library says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectionError(pub String);

impl From<InspectionError> for EngineError {
    fn from(InspectionError(cause): InspectionError) -> Self {
        // It may quote the peer, and is bound for the log.
        Self::Request(cause.escape_debug().to_string())
    }
}
