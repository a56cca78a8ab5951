//! The file with the number of the process (`--pid-file`). A lock on the file says whether that process runs, so a file
//! that a killed agent left behind is recognised, whoever has its number now.
//!
//! The lock (flock(2)) belongs to the open file: it holds as long as any process has that open, and ends with the last. A
//! process that replaces itself keeps the descriptor, and with it the lock.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Why there is no file with the number.
#[derive(Debug)]
pub(crate) enum PidFileError {
    /// Another process holds the file.
    Held {
        /// The file.
        path: PathBuf,
        /// What the file says of that process.
        holder: String,
    },
    /// The file cannot be opened, locked or written.
    File(PathBuf, io::Error),
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { path, holder } => {
                write!(f, "process {holder} runs already, and holds {} (--pid-file)", path.display())
            }
            Self::File(path, cause) => write!(f, "cannot write {} (--pid-file): {cause}", path.display()),
        }
    }
}

impl std::error::Error for PidFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held { .. } => None,
            Self::File(_, cause) => Some(cause),
        }
    }
}

/// The file, locked. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    file: File,
    /// Another process holds the file too, and looks after it.
    are_others: Arc<AtomicBool>,
    /// `None` once the file cannot be reached any more: outside of the root of all files.
    path: Option<PathBuf>,
    /// The number of a process that left the file behind.
    stale: Option<String>,
}

impl PidFile {
    /// Makes the file, or takes one over that no process holds, and writes the number of this process.
    ///
    /// # Errors
    /// When another process holds the file, or it cannot be opened, locked or written.
    pub(crate) fn create(path: &Path) -> Result<Self, PidFileError> {
        let failed = |cause: io::Error| PidFileError::File(path.to_owned(), cause);
        loop {
            // No link is followed, as the folder may be one where others write.
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = options
                .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
                .open(path)
                .map_err(failed)?;
            if !file.metadata().map_err(failed)?.is_file() {
                return Err(failed(io::Error::other("it is no plain file")));
            }
            let said = number_in(&mut file);
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let holder = said.unwrap_or_else(|| "of an unknown number".to_owned());
                    return Err(PidFileError::Held { path: path.to_owned(), holder });
                }
                Err(errno) => return Err(failed(errno.into())),
            }
            // The process that held it may have removed it between the two calls.
            if !is_at(&file, path) {
                continue;
            }
            // Whoever watches the process reads the file, whatever the umask is. A file of another user stays as it is.
            let _ = file.set_permissions(Permissions::from_mode(0o644));
            write_number(&file).map_err(failed)?;
            let are_others = Arc::default();
            return Ok(Self { file, are_others, path: Some(path.to_owned()), stale: said });
        }
    }

    /// Takes the file over from a predecessor, which has passed its descriptor and with it the lock on. The file stays the
    /// predecessor's while `are_others` holds; after that, [`write_number`] makes it this process's.
    pub(crate) fn inherit(descriptor: OwnedFd, path: &Path, are_others: Arc<AtomicBool>) -> Self {
        Self { file: File::from(descriptor), are_others, path: Some(path.to_owned()), stale: None }
    }

    /// Whether another process looks after the file from now on, which has the descriptor too. To be changed when that does.
    pub(crate) fn share(&mut self, are_others: Arc<AtomicBool>) {
        self.are_others = are_others;
    }

    /// Another descriptor of the file, which keeps the lock for a successor.
    ///
    /// # Errors
    /// When the system has no descriptor for it.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    /// What the file said of a process that ended without removing it.
    pub(crate) fn stale(&self) -> Option<&str> {
        self.stale.as_deref()
    }

    /// Notes that `root` becomes the root of all files.
    pub(crate) fn enter(&mut self, root: &Path) {
        self.path = self.path.take().and_then(|path| super::privileges::path_within(root, &path));
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.are_others.load(Ordering::Relaxed) {
            return;
        }
        let is_own = |path: &PathBuf| is_at(&self.file, path);
        let removed = self.path.as_ref().filter(|path| is_own(path)).map(std::fs::remove_file);
        if !matches!(removed, Some(Ok(()))) {
            // The user that the process became may not write in the folder. An empty file names no process.
            let _ = self.file.set_len(0);
        }
    }
}

/// Writes the number of this process into the file.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_number(file: impl AsFd) -> io::Result<()> {
    let mut file = File::from(file.as_fd().try_clone_to_owned()?);
    let text = format!("{}\n", std::process::id());
    // In one call, and the rest of what was there goes after that: whoever reads the first line has the one number or the
    // other.
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// The first line of the file, if it is a number.
fn number_in(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    let number = text.lines().next()?.trim();
    number
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| number.to_owned())
        .filter(|text| !text.is_empty())
}

/// Whether this open file is the one at that path.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_no_file_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.pid");
        let own = std::process::id().to_string();
        let first = PidFile::create(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{own}\n"));
        assert_eq!(first.stale(), None);
        match PidFile::create(&path) {
            Err(PidFileError::Held { holder, .. }) => assert_eq!(holder, own),
            other => panic!("{other:?}"),
        }
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_process_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.pid");
        for (left, stale) in [("4711\n", Some("4711")), ("", None), ("no number\n", None), ("\u{fe}\n", None)]
        {
            std::fs::write(&path, left).unwrap();
            let file = PidFile::create(&path).unwrap();
            assert_eq!(file.stale(), stale, "{left:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        }
    }

    #[test]
    fn a_file_of_another_at_the_path_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.pid");
        let file = PidFile::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn a_link_and_what_is_no_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("precious"), folder.path().join("agent.pid"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(PidFile::create(&link).is_err());
        assert!(PidFile::create(folder.path()).is_err());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn a_successor_keeps_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.pid");
        let before = PidFile::create(&path).unwrap();
        let descriptor = before.descriptor().unwrap();
        let are_others = Arc::<AtomicBool>::default();
        let mut before = before;
        before.share(Arc::new(AtomicBool::new(true)));
        let after = PidFile::inherit(descriptor, &path, Arc::clone(&are_others));
        drop(before);
        assert!(path.exists());
        assert!(matches!(PidFile::create(&path), Err(PidFileError::Held { .. })));
        drop(after);
        assert!(!path.exists());
    }
}
