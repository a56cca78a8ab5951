//! The versions of ModSecurity that can inspect requests.

use std::fmt;

#[cfg(feature = "engine2")]
use crate::ffi::v2;
#[cfg(feature = "engine3")]
use crate::ffi::v3;

#[cfg(not(any(feature = "engine2", feature = "engine3")))]
compile_error!("an engine is needed: --features engine2, engine3 or both");

/// A version of ModSecurity (`--engine`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineVersion {
    /// ModSecurity 2.9, standalone.
    V2,
    /// libmodsecurity 3.
    V3,
}

impl EngineVersion {
    /// The versions that this program was built with; the first is the default of `--engine`.
    pub const BUILT: &[Self] = &[
        #[cfg(feature = "engine3")]
        Self::V3,
        #[cfg(feature = "engine2")]
        Self::V2,
    ];

    /// The version with this number, whether or not this program was built with it; `None` for any other text.
    #[must_use]
    pub fn of_number(number: &str) -> Option<Self> {
        match number {
            "2" => Some(Self::V2),
            "3" => Some(Self::V3),
            _ => None,
        }
    }

    /// The number that `--engine` takes for this version.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// Shows the name and, if this program was built with the version, the exact version of the library.
impl fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "engine2")]
            Self::V2 => write!(f, "ModSecurity {}", v2::version()),
            #[cfg(feature = "engine3")]
            Self::V3 => write!(f, "libmodsecurity {}", v3::compiled_version()),
            #[cfg(not(all(feature = "engine2", feature = "engine3")))]
            other => write!(f, "ModSecurity {}", other.number()),
        }
    }
}
