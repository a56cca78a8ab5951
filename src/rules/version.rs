//! Which ModSecurity is to inspect.

use std::fmt;

#[cfg(feature = "engine2")]
use crate::ffi::v2;
#[cfg(feature = "engine3")]
use crate::ffi::v3;

#[cfg(not(any(feature = "engine2", feature = "engine3")))]
compile_error!("an engine is needed: --features engine2, engine3 or both");

/// A version of ModSecurity (`--engine`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// ModSecurity 2.9, standalone.
    Two,
    /// libmodsecurity 3.
    Three,
}

impl Version {
    /// Those that this program was built with, the one that runs unless told otherwise first.
    pub const BUILT: &[Self] = &[
        #[cfg(feature = "engine3")]
        Self::Three,
        #[cfg(feature = "engine2")]
        Self::Two,
    ];

    /// The one of this number, whether it was built or not.
    #[must_use]
    pub fn of_number(number: &str) -> Option<Self> {
        match number {
            "2" => Some(Self::Two),
            "3" => Some(Self::Three),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// Its name and the exact version, where it was built.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "engine2")]
            Self::Two => write!(f, "ModSecurity {}", v2::version()),
            #[cfg(feature = "engine3")]
            Self::Three => write!(f, "libmodsecurity {}", v3::compiled_version()),
            #[cfg(not(all(feature = "engine2", feature = "engine3")))]
            other => write!(f, "ModSecurity {}", other.number()),
        }
    }
}
