//! ModSecurity, in the version that the operator wants.

mod body_checks;
pub mod error;
mod inspector;
pub(crate) mod library;
pub mod load;
pub mod parked;
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
use crate::modsecurity::error::{ApplicationError, InspectionError};
use crate::modsecurity::inspector::Inspector;
use crate::modsecurity::load::Summary;
use crate::modsecurity::load::{RuleSets, load_all};
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::directives::needs::Needs;
use crate::rules::sources::RuleSources;
use crate::rules::version::EngineVersion;

/// The rules of all applications, in one version of ModSecurity.
#[derive(Clone, Debug)]
pub enum Rules {
    /// In ModSecurity 2.9.
    #[cfg(feature = "engine2")]
    Two(Arc<RuleSets<ffi::v2::Ruleset>>),
    /// In libmodsecurity 3.
    #[cfg(feature = "engine3")]
    Three(Arc<RuleSets<ffi::v3::Ruleset>>),
}

/// The engine of one worker.
pub enum ModSecurity {
    /// ModSecurity 2.9.
    #[cfg(feature = "engine2")]
    Two(Inspector<ffi::v2::Ruleset>),
    /// libmodsecurity 3.
    #[cfg(feature = "engine3")]
    Three(Inspector<ffi::v3::Ruleset>),
}

impl Rules {
    /// Loads them; the summaries are those of the default rules and of each application, in their order.
    pub fn load(sources: &RuleSources) -> Result<(Self, Vec<Summary>), ApplicationError> {
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
}

impl ModSecurity {
    /// An engine with these rules; transactions wait for their response within `bounds`. In a process of its own: made
    /// after the fork. It stays in its thread.
    pub fn new(rules: &Rules, bounds: RetentionLimits) -> Result<Self, String> {
        Ok(match rules {
            #[cfg(feature = "engine2")]
            Rules::Two(rules) => Self::Two(Inspector::new(Arc::clone(rules), bounds)?),
            #[cfg(feature = "engine3")]
            Rules::Three(rules) => Self::Three(Inspector::new(Arc::clone(rules), bounds)?),
        })
    }

    /// Does what there is to do when nothing is to be inspected; gives the time until there is more to do.
    pub fn housekeeping(&mut self) -> Option<Duration> {
        match self {
            #[cfg(feature = "engine2")]
            Self::Two(engine) => engine.housekeeping(),
            #[cfg(feature = "engine3")]
            Self::Three(engine) => engine.housekeeping(),
        }
    }

    /// Takes a message through its phases.
    pub fn inspect(&mut self, message: &HttpMessage) -> Result<Verdict, InspectionError> {
        match self {
            #[cfg(feature = "engine2")]
            Self::Two(engine) => engine.inspect(message),
            #[cfg(feature = "engine3")]
            Self::Three(engine) => engine.inspect(message),
        }
    }
}
