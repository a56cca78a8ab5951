//! Where the log goes: what `--log` names.

use std::fmt;
use std::path::PathBuf;

use super::levels::Levels;

/// The socket of the local syslog daemon.
const SYSLOG: &str = "/dev/log";

/// The socket of systemd's journal.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// A place where records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard error, as text; in colours where it is a terminal.
    StandardError,
    /// Standard error, a JSON object a line.
    JsonStandardError,
    /// A file, as text.
    File(PathBuf),
    /// A file, a JSON object a line.
    JsonFile(PathBuf),
    /// A datagram socket of a syslog daemon (RFC 5424).
    Syslog(PathBuf),
    /// The datagram socket of systemd's journal (its native protocol).
    Journal(PathBuf),
}

impl Destination {
    /// Reads a target without its attributes. A file's name has a `/`, so that a slip in another target makes no file.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let path = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
        let file = |name: &str| {
            let is_file = name.contains('/') && !name.ends_with('/');
            // The working directory may change before the file is opened.
            is_file.then(|| std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name)))
        };
        match text.split_once(':') {
            _ if text == "stderr" => Some(Self::StandardError),
            _ if text == "syslog" => Some(Self::Syslog(SYSLOG.into())),
            _ if text == "journal" => Some(Self::Journal(JOURNAL.into())),
            Some(("json", "stderr")) => Some(Self::JsonStandardError),
            Some(("json", name)) => file(name).map(Self::JsonFile),
            Some(("syslog", name)) => path(name).map(Self::Syslog),
            Some(("journal", name)) => path(name).map(Self::Journal),
            _ => file(text).map(Self::File),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardError => f.write_str("stderr"),
            Self::JsonStandardError => f.write_str("json:stderr"),
            Self::File(path) => path.display().fmt(f),
            Self::JsonFile(path) => write!(f, "json:{}", path.display()),
            Self::Syslog(path) => write!(f, "syslog:{}", path.display()),
            Self::Journal(path) => write!(f, "journal:{}", path.display()),
        }
    }
}

/// A destination, and the records that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where records are written.
    pub destination: Destination,
    /// Which records.
    pub levels: Levels,
}

/// What the operator says of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Each destination once.
    pub targets: Vec<Target>,
    /// The most records of denials, matches and level debug that each target gets in a second; `None`: any number.
    pub limit: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written() {
        for text in ["stderr", "json:stderr", "/a/b", "json:/a/b", "syslog:/dev/log", "journal:/x"] {
            assert_eq!(Destination::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Destination::parse("syslog"), Some(Destination::Syslog(SYSLOG.into())));
        for bad in ["", "sylog", "json", "json:", "json:x", "syslog:", "journal:", "/a/", "stdout"] {
            assert_eq!(Destination::parse(bad), None, "{bad}");
        }
    }
}
