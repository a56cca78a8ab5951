//! Opening anew the log files that an engine has open (`SecAuditLog`, `SecDebugLog`), after they were moved away, without
//! loading the rules again.
//!
//! Both engines open these files while they load the rules and keep them open, under numbers that they tell nobody. So the
//! descriptors are found by the file that they lead to, and another file is put under their numbers. The call that does
//! that is atomic: a record goes whole to the old file or to the new one.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::ffi::descriptor::{flags_of, put_under};

/// The mode of a file that is made, as that of a log file of the agent.
const MODE: u32 = 0o640;

/// A log file that the engine has open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LogFile {
    path: PathBuf,
    /// Device and inode of the file that is open.
    file: (u64, u64),
}

/// The regular files among the log files of some rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogFiles(Vec<LogFile>);

/// Why a log file stays the old one.
#[derive(Debug)]
pub(crate) struct ReopenError {
    path: PathBuf,
    cause: io::Error,
}

impl fmt::Display for ReopenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for ReopenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl LogFiles {
    /// The files with these names, after the engine has opened them.
    pub(super) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut files = Self::default();
        for path in paths {
            if let Some(file) = identity(&path) {
                files.add(&Self(vec![LogFile { path, file }]));
            }
        }
        files
    }

    /// Adds the files of other rules.
    pub(crate) fn add(&mut self, others: &Self) {
        for other in &others.0 {
            if self.0.iter().all(|known| known.path != other.path) {
                self.0.push(other.clone());
            }
        }
    }

    /// Opens those files anew whose names lead elsewhere by now. Returns how many.
    ///
    /// # Errors
    /// The first file that cannot be opened; it stays the old one, and the others are opened all the same.
    pub(crate) fn reopen(&mut self) -> Result<usize, ReopenError> {
        let (mut reopened, mut failure) = (0, None);
        for log in &mut self.0 {
            match log.reopen() {
                Ok(was_moved) => reopened += usize::from(was_moved),
                Err(cause) => {
                    failure.get_or_insert(ReopenError { path: log.path.clone(), cause });
                }
            }
        }
        failure.map_or(Ok(reopened), Err)
    }
}

impl LogFile {
    fn reopen(&mut self) -> io::Result<bool> {
        if identity(&self.path) == Some(self.file) {
            return Ok(false);
        }
        // Made first, also where this process only looks at it.
        drop(OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path)?);
        for number in descriptors()? {
            if fs::metadata(link(number)).is_ok_and(|file| (file.dev(), file.ino()) == self.file) {
                replace(number, &self.path)?;
            }
        }
        self.file = identity(&self.path).unwrap_or(self.file);
        Ok(true)
    }
}

/// Device and inode of a regular file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((file.dev(), file.ino()))
}

/// The descriptors of this process.
fn descriptors() -> io::Result<Vec<RawFd>> {
    let entries = fs::read_dir("/proc/self/fd")?.filter_map(Result::ok);
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn link(number: RawFd) -> String {
    format!("/proc/self/fd/{number}")
}

/// Puts the file `path` under this number, opened as the one was that is there.
fn replace(number: RawFd, path: &Path) -> io::Result<()> {
    put_under(number, open(path, flags_of(number)?)?.as_fd())
}

fn open(path: &Path, flags: OFlag) -> io::Result<File> {
    let mut options = OpenOptions::new();
    if flags.contains(OFlag::O_PATH) {
        return options.read(true).custom_flags(OFlag::O_PATH.bits()).open(path);
    }
    match flags & OFlag::O_ACCMODE {
        OFlag::O_RDWR => options.read(true).append(true),
        OFlag::O_RDONLY => options.read(true),
        _ => options.append(true),
    };
    options.open(path)
}
