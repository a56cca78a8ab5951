//! Why rules cannot be loaded, why an engine cannot be made, and why a message cannot be inspected.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use actors::EngineError;

use crate::ffi;
use crate::modsecurity::audit::LogError;
use crate::rules::check::Faults;
use crate::rules::directives::{Missing, ReadError};
use crate::rules::sources::CRS_RULES;
use crate::rules::version::EngineVersion;

/// What a version of ModSecurity says when a call fails.
#[derive(Debug)]
pub enum LibraryError {
    /// ModSecurity 2.9.
    #[cfg(feature = "engine2")]
    V2(ffi::v2::Error),
    /// libmodsecurity 3.
    #[cfg(feature = "engine3")]
    V3(ffi::v3::Exception),
    /// libmodsecurity 3, while it loads rules.
    #[cfg(feature = "engine3")]
    V3Rules(ffi::v3::RulesError),
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "engine2")]
            Self::V2(error) => error.fmt(f),
            #[cfg(feature = "engine3")]
            Self::V3(exception) => exception.fmt(f),
            #[cfg(feature = "engine3")]
            Self::V3Rules(error) => error.fmt(f),
        }
    }
}

impl Error for LibraryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            #[cfg(feature = "engine2")]
            Self::V2(error) => Some(error),
            #[cfg(feature = "engine3")]
            Self::V3(exception) => Some(exception),
            #[cfg(feature = "engine3")]
            Self::V3Rules(error) => Some(error),
        }
    }
}

#[cfg(feature = "engine2")]
impl From<ffi::v2::Error> for LibraryError {
    fn from(error: ffi::v2::Error) -> Self {
        Self::V2(error)
    }
}

#[cfg(feature = "engine3")]
impl From<ffi::v3::Exception> for LibraryError {
    fn from(exception: ffi::v3::Exception) -> Self {
        Self::V3(exception)
    }
}

/// Why one set of rules is not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// A file cannot be given to the engine.
    File {
        /// The file, as the operator named it.
        path: PathBuf,
        /// The system's answer, or what is wrong with the file's name.
        cause: io::Error,
    },
    /// No `-f` is given, and there is no Core Rule Set to load.
    NoCoreRuleSet(io::Error),
    /// The built-in settings cannot be written to the file in memory that the engine reads.
    BuiltIn(io::Error),
    /// The engine refuses what it read.
    Engine {
        /// The file or the settings that were being loaded. Where an included file is wrong, the engine's text names
        /// it.
        what: String,
        /// What the engine says.
        cause: LibraryError,
    },
    /// This program cannot read the files to compare them with what the engine has loaded.
    Read(ReadError),
    /// Directives are wrong, whatever the engine would make of them.
    Wrong(Faults),
    /// The engine has silently lost rules.
    Missing(Missing),
    /// The rules name a log file or folder that cannot be written to.
    Log(LogError),
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
            Self::BuiltIn(cause) => write!(f, "cannot hand the built-in settings to the engine: {cause}"),
            Self::Engine { what, cause } => {
                // The engine's text may have several lines; the operator gets one.
                let cause = cause.to_string();
                let words: Vec<_> = cause.split_whitespace().collect();
                write!(f, "cannot load {what}: {}", words.join(" "))
            }
            Self::Read(error) => error.fmt(f),
            Self::Wrong(faults) => faults.fmt(f),
            Self::Missing(missing) => write!(f, "the engine has lost rules: {missing}"),
            Self::Log(error) => error.fmt(f),
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::File { cause, .. } | Self::NoCoreRuleSet(cause) | Self::BuiltIn(cause) => cause,
            Self::Engine { cause, .. } => cause,
            Self::Read(error) => error,
            Self::Wrong(faults) => faults,
            Self::Missing(missing) => missing,
            Self::Log(error) => error,
        })
    }
}

/// Why the rules of all applications are not loaded.
#[derive(Debug)]
pub enum ApplicationError {
    /// The rules of one application cannot be loaded.
    Load {
        /// The application's name; `None` for the default rules.
        application: Option<String>,
        /// Why its rules cannot be loaded.
        cause: LoadError,
    },
    /// Loading waits for a file that does not come.
    StandsStill {
        /// What is being read.
        what: String,
        /// For how long.
        time: Duration,
    },
    /// There is no thread that could load them.
    Thread(io::Error),
    /// This program was built without the engine.
    NotBuilt(EngineVersion),
}

impl fmt::Display for ApplicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { application: Some(name), cause } => write!(f, "application {name}: {cause}"),
            Self::Load { application: None, cause } => cause.fmt(f),
            Self::StandsStill { what, time } => write!(
                f,
                "loading the rules has stood still for {time:?} at {what}: is that a FIFO, or on a file system that does \
                not answer?"
            ),
            Self::Thread(cause) => write!(f, "cannot start the thread that loads the rules: {cause}"),
            Self::NotBuilt(version) => write!(f, "this program was built without {version}"),
        }
    }
}

impl Error for ApplicationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Load { cause, .. } => Some(cause),
            Self::Thread(cause) => Some(cause),
            Self::StandsStill { .. } | Self::NotBuilt(_) => None,
        }
    }
}

/// Why a message could not be inspected; the engine goes on with the next one.
///
/// Only a text, as the library wrote it: an engine process sends its errors to the front as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectionError(pub String);

impl fmt::Display for InspectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for InspectionError {}

impl From<InspectionError> for EngineError {
    fn from(InspectionError(cause): InspectionError) -> Self {
        // The text may quote bytes of the peer's, and goes to the log.
        Self::Request(cause.escape_debug().to_string())
    }
}
