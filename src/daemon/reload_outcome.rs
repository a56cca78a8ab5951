//! How the last reload went, in a file for whoever has asked for it: a signal has no answer of its own.
//!
//! The file is `reload` in the folder that systemd makes for the service (RuntimeDirectory=, which sets RUNTIME_DIRECTORY). It
//! has one line: the time of the monotonic clock at which the reload began in microseconds, then `ok`, or `failed` and why.
//! A process that has started with the rules of its files has reloaded them too.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of the file.
const NAME: &str = "reload";

/// How one reload went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// When it began, in microseconds of the monotonic clock.
    pub(crate) begun: u64,
    /// Why it failed.
    pub(crate) failure: Option<String>,
}

/// The file; `None` without a folder of the service.
pub(crate) fn path() -> Option<PathBuf> {
    let folders = env::var_os("RUNTIME_DIRECTORY")?;
    let folder = env::split_paths(&folders).next().filter(|folder| folder.is_absolute())?;
    Some(folder.join(NAME))
}

impl Outcome {
    /// Writes it to the file, in one step.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let word = if self.failure.is_some() { "failed" } else { "ok" };
        let cause = self.failure.as_deref().unwrap_or_default().replace('\n', " ");
        let new = path.with_extension("new");
        fs::write(&new, format!("{} {word} {cause}\n", self.begun))?;
        fs::rename(&new, path)
    }

    /// Reads it from the file; `None` before there was a reload.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut parts = text.trim_end().splitn(3, ' ');
        let begun = parts.next()?.parse().ok()?;
        let failure = match parts.next()? {
            "ok" => None,
            _ => Some(parts.next().unwrap_or_default().to_owned()),
        };
        Some(Self { begun, failure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        assert_eq!(Outcome::read(&path), None);
        for failure in [None, Some("line 2: no such directive".to_owned())] {
            let outcome = Outcome { begun: 17, failure };
            outcome.write(&path).unwrap();
            assert_eq!(Outcome::read(&path), Some(outcome));
        }
    }
}
