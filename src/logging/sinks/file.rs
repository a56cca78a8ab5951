//! A log file. It is opened to append, so that several writers and a truncation do no harm.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Format, Sink};
use crate::logging::lines::Lines;
use crate::logging::record::Entry;

/// Owner writes, group reads: lines have addresses of clients.
const MODE: u32 = 0o640;

/// A log file.
pub(super) struct LogFile {
    path: PathBuf,
    lines: Lines<File>,
    format: Format,
}

impl LogFile {
    /// Opens the file; makes it if it does not exist.
    ///
    /// # Errors
    /// When it can be neither opened nor made.
    pub(super) fn open(path: &Path, format: Format) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), lines: Lines::new(append(path)?), format })
    }
}

impl Sink for LogFile {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.lines.write(&(self.format)(entry))
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.lines = Lines::new(append(&self.path)?);
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}
