//! ModSecurity, in the version that the operator wants.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::application::{ApplicationError, RuleSets, RuleSources, load_all};
use crate::engine::http_message::HttpMessage;
use crate::engine::inspector::Inspector;
use crate::engine::library::InspectionError;
use crate::engine::load::Summary;
use crate::engine::verdict::Verdict;
use crate::engine::version::Version;
use crate::engine::waiting::Bounds;
#[cfg(feature = "engine2")]
use crate::ffi::v2;
#[cfg(feature = "engine3")]
use crate::ffi::v3;

/// The rules of all applications, in one version of ModSecurity.
#[derive(Clone, Debug)]
pub enum Rules {
    /// In ModSecurity 2.9.
    #[cfg(feature = "engine2")]
    Two(Arc<RuleSets<v2::Rules>>),
    /// In libmodsecurity 3.
    #[cfg(feature = "engine3")]
    Three(Arc<RuleSets<v3::Engine>>),
}

/// The engine of one worker.
pub enum ModSecurity {
    /// ModSecurity 2.9.
    #[cfg(feature = "engine2")]
    Two(Inspector<v2::Rules>),
    /// libmodsecurity 3.
    #[cfg(feature = "engine3")]
    Three(Inspector<v3::Engine>),
}

impl Rules {
    /// Loads them; the summaries are those of the default rules and of each application, in their order.
    pub fn load(sources: &RuleSources) -> Result<(Self, Vec<Summary>), ApplicationError> {
        match sources.engine {
            #[cfg(feature = "engine2")]
            Version::Two => {
                load_all(sources).map(|(rules, summaries)| (Self::Two(Arc::new(rules)), summaries))
            }
            #[cfg(feature = "engine3")]
            Version::Three => {
                load_all(sources).map(|(rules, summaries)| (Self::Three(Arc::new(rules)), summaries))
            }
            #[cfg(not(all(feature = "engine2", feature = "engine3")))]
            version => Err(ApplicationError::NotBuilt(version)),
        }
    }
}

impl ModSecurity {
    /// An engine with these rules; transactions wait for their response within `bounds`. In a process of its own: made
    /// after the fork. It stays in its thread.
    pub fn new(rules: &Rules, bounds: Bounds) -> Result<Self, String> {
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
