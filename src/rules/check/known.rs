//! Which engines know a name. The lists are from their sources (2.9.13; 3.0.9 up to 3.0.14), and a test asks the engines.

use crate::rules::version::EngineVersion;

/// Which engines know a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Both.
    Both,
    /// ModSecurity 2.9.
    Two,
    /// libmodsecurity 3, at least its newest version.
    Three,
}

/// The names that this engine knows.
pub(super) fn known(
    names: impl Iterator<Item = (&'static str, By)>,
    version: EngineVersion,
) -> impl Iterator<Item = &'static str> {
    let only = match version {
        EngineVersion::V2 => By::Two,
        EngineVersion::V3 => By::Three,
    };
    names.filter(move |(_, by)| *by == By::Both || *by == only).map(|(name, _)| name)
}
