//! ModSecurity in either version: loaded rules, and engines that inspect messages with them. All that is not the same
//! in the two versions is behind the trait `Library` (`library.rs`), which `v2` and `v3` implement.

mod audit;
pub mod error;
mod inspector;
pub(crate) mod library;
pub mod load;
mod log_files;
pub mod parked;
mod patience;
mod resident;
mod truncated_body;
#[cfg(feature = "engine2")]
mod v2;
#[cfg(feature = "engine3")]
mod v3;

use std::sync::Arc;
use std::time::Duration;

use crate::ffi;
use crate::message::HttpMessage;
use crate::message::verdict::Verdict;
use crate::modsecurity::error::{ApplicationError, InspectionError, LibraryError};
use crate::modsecurity::inspector::Inspector;
use crate::modsecurity::load::{RuleSets, Summary, load_all};
pub(crate) use crate::modsecurity::log_files::LogFiles;
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::directives::needs::Needs;
use crate::rules::sources::RuleSources;
use crate::rules::version::EngineVersion;

/// The rules of all applications, in one version of ModSecurity.
#[derive(Clone, Debug)]
pub enum Rules {
    /// Loaded into ModSecurity 2.9.
    #[cfg(feature = "engine2")]
    Two(Arc<RuleSets<ffi::v2::Ruleset>>),
    /// Loaded into libmodsecurity 3.
    #[cfg(feature = "engine3")]
    Three(Arc<RuleSets<ffi::v3::Ruleset>>),
}

/// The engine of one worker, in either version. It stays on the thread that made it.
pub enum ModSecurity {
    /// ModSecurity 2.9.
    #[cfg(feature = "engine2")]
    Two(Inspector<ffi::v2::Ruleset>),
    /// libmodsecurity 3.
    #[cfg(feature = "engine3")]
    Three(Inspector<ffi::v3::Ruleset>),
}

impl Rules {
    /// Loads the rules. Returns with them a summary of the default rules, then one for each application in its order.
    ///
    /// # Errors
    /// When one set of rules cannot be loaded, loading stands still, or this program was built without the engine.
    pub fn load(sources: &RuleSources) -> Result<(Self, Vec<Summary>), ApplicationError> {
        let sources = sources.clone();
        patience::while_it_moves(move || Self::load_here(&sources))?
    }

    /// Loads the rules in this thread.
    fn load_here(sources: &RuleSources) -> Result<(Self, Vec<Summary>), ApplicationError> {
        match sources.engine {
            #[cfg(feature = "engine2")]
            EngineVersion::V2 => {
                load_all(sources).map(|(rules, summaries)| (Self::Two(Arc::new(rules)), summaries))
            }
            #[cfg(feature = "engine3")]
            EngineVersion::V3 => {
                load_all(sources).map(|(rules, summaries)| (Self::Three(Arc::new(rules)), summaries))
            }
            #[cfg(not(all(feature = "engine2", feature = "engine3")))]
            version => Err(ApplicationError::NotBuilt(version)),
        }
    }

    /// What all of them need of the operating system while requests are inspected.
    #[must_use]
    pub fn needs(&self) -> Needs {
        match self {
            #[cfg(feature = "engine2")]
            Self::Two(rules) => rules.needs(),
            #[cfg(feature = "engine3")]
            Self::Three(rules) => rules.needs(),
        }
    }

    /// The log files that the engine has opened for them.
    pub(crate) fn log_files(&self) -> LogFiles {
        match self {
            #[cfg(feature = "engine2")]
            Self::Two(rules) => rules.log_files(),
            #[cfg(feature = "engine3")]
            Self::Three(rules) => rules.log_files(),
        }
    }
}

/// What is loaded without `-f`, as the text of a file for this engine.
///
/// # Errors
/// When the Core Rule Set is not installed, or the engine was not built in.
pub fn default_rules(version: EngineVersion) -> Result<String, ApplicationError> {
    let rules = match version {
        #[cfg(feature = "engine2")]
        EngineVersion::V2 => load::default_rules::<ffi::v2::Ruleset>(),
        #[cfg(feature = "engine3")]
        EngineVersion::V3 => load::default_rules::<ffi::v3::Ruleset>(),
        #[cfg(not(all(feature = "engine2", feature = "engine3")))]
        version => return Err(ApplicationError::NotBuilt(version)),
    };
    rules.map_err(|cause| ApplicationError::Load { application: None, cause })
}

impl ModSecurity {
    /// An engine with these rules, which parks transactions within `limits`. An engine process makes it after the fork.
    ///
    /// # Errors
    /// When the library cannot be readied: it has no memory.
    pub fn new(rules: &Rules, limits: RetentionLimits) -> Result<Self, LibraryError> {
        Ok(match rules {
            #[cfg(feature = "engine2")]
            Rules::Two(rules) => Self::Two(Inspector::new(Arc::clone(rules), limits)?),
            #[cfg(feature = "engine3")]
            Rules::Three(rules) => Self::Three(Inspector::new(Arc::clone(rules), limits)?),
        })
    }

    /// Finishes parked transactions that have expired or make room for others. Returns the time until the next call is due; `None`: not before
    /// the next message.
    pub fn housekeeping(&mut self) -> Option<Duration> {
        match self {
            #[cfg(feature = "engine2")]
            Self::Two(engine) => engine.housekeeping(),
            #[cfg(feature = "engine3")]
            Self::Three(engine) => engine.housekeeping(),
        }
    }

    /// Takes a message through the phases of its transaction, and returns the verdict.
    ///
    /// # Errors
    /// When the library gives up on the message, or the message has what the library cannot take. The engine goes on.
    pub fn inspect(&mut self, message: &HttpMessage) -> Result<Verdict, InspectionError> {
        match self {
            #[cfg(feature = "engine2")]
            Self::Two(engine) => engine.inspect(message),
            #[cfg(feature = "engine3")]
            Self::Three(engine) => engine.inspect(message),
        }
    }
}
