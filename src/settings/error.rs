//! Why the settings are refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An option or a variable that cannot be understood, in one line; the program ends with exit status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOption(pub String);

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see --help)", self.0)
    }
}

impl std::error::Error for BadOption {}

/// Why there are no settings.
#[derive(Debug)]
pub enum SettingsError {
    /// An option or a variable is wrong.
    Option(BadOption),
    /// The file of `--options` cannot be read.
    OptionsFile {
        /// The file.
        path: PathBuf,
        /// The system's error, or what is wrong with the content.
        cause: io::Error,
    },
    /// The page of `--block-page` cannot be read.
    BlockPage {
        /// The option or the variable that names the file.
        setting: String,
        /// The file.
        path: PathBuf,
        /// The system's error, or what is wrong with the content.
        cause: io::Error,
    },
}

impl SettingsError {
    /// The exit status of the program: 2 for a wrong option, 1 for a file that cannot be read.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Option(_) => 2,
            Self::OptionsFile { .. } | Self::BlockPage { .. } => 1,
        }
    }
}

impl From<BadOption> for SettingsError {
    fn from(error: BadOption) -> Self {
        Self::Option(error)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(error) => error.fmt(f),
            Self::OptionsFile { path, cause } => {
                write!(f, "cannot read {} (--options): {cause}", path.display())
            }
            Self::BlockPage { setting, path, cause } => {
                write!(f, "{setting}: cannot read {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for SettingsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Option(error) => Some(error),
            Self::OptionsFile { cause, .. } | Self::BlockPage { cause, .. } => Some(cause),
        }
    }
}
