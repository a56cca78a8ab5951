//! `@detectSQLi` and `@detectXSS`: the libinjection of the engine. The two have different ones, with different data.

use super::{Match, NotModelled};
#[cfg(feature = "engine2")]
use crate::ffi::v2;
#[cfg(feature = "engine3")]
use crate::ffi::v3;
use crate::rules::version::EngineVersion;

/// One of the two detectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Injection {
    detects: fn(&[u8]) -> bool,
}

impl Injection {
    /// The operator of this name in small letters.
    pub(super) fn new(name: &str, version: EngineVersion) -> Result<Self, NotModelled> {
        let is_sqli = name == "detectsqli";
        let detects = match version {
            #[cfg(feature = "engine2")]
            EngineVersion::V2 => Some(if is_sqli { v2::injection::is_sqli } else { v2::injection::is_xss }),
            #[cfg(feature = "engine3")]
            EngineVersion::V3 if v3::injection::is_there() => {
                Some(if is_sqli { v3::injection::is_sqli } else { v3::injection::is_xss })
            }
            _ => None,
        };
        let detects: Option<fn(&[u8]) -> bool> = detects;
        let detects = detects.ok_or_else(|| NotModelled(format!("@{name} without the engine's library")))?;
        Ok(Self { detects })
    }

    pub(super) fn matches(self, value: &[u8]) -> Match {
        Match::from_exact((self.detects)(value))
    }
}
