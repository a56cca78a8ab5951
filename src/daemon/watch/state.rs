//! What the files are at a moment, so that another moment can be compared.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Each file with what changes when another content or another file is at its path; `None` for one that is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State(BTreeMap<PathBuf, Option<[i128; 4]>>);

impl State {
    /// The state of these files now.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mark = |path: &PathBuf| {
            let file = path.metadata().ok()?;
            // The time of the last change of the file or its rights, which no tool sets back.
            let changed = i128::from(file.ctime()) * 1_000_000_000 + i128::from(file.ctime_nsec());
            Some([file.dev().into(), file.ino().into(), file.size().into(), changed])
        };
        Self(paths.iter().map(|path| (path.clone(), mark(path))).collect())
    }

    /// The first file that is another one now, or is in one of the two alone.
    pub(super) fn difference(&self, before: &Self) -> Option<PathBuf> {
        let all = self.0.keys().chain(before.0.keys());
        all.filter(|path| self.0.get(*path) != before.0.get(*path)).min().cloned()
    }
}
