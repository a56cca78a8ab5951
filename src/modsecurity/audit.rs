//! The log files that rules name: tried before an engine opens them, and watched while it writes to them.
//!
//! Neither engine stops for a record that it cannot write, and libmodsecurity does not even notice: it asks for no error
//! when it writes to a file. So the growth of the file is measured over the logging phase of each transaction that has an
//! audit record. What another engine appends at that moment hides a loss; on a full disk none of them can.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{AccessFlags, access};

use crate::ffi::audit::AuditRecord;
use crate::message::verdict::AuditLosses;
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::library::Transaction;
use crate::rules::directives::{Directive, Directives, Place};
use crate::rules::version::EngineVersion;

/// A log file or folder that cannot be written to.
#[derive(Debug)]
pub struct LogError {
    /// The directive that names it.
    place: Place,
    /// The name of the directive.
    directive: String,
    /// The file or folder.
    path: PathBuf,
    /// The system's answer.
    cause: io::Error,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, directive, path, cause } = self;
        write!(f, "{place}: {directive} {} cannot be written to: {cause}", path.display())
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Tries the log files and folders that the directives name, without leaving a file behind. Returns the files that are
/// open then: whoever reads a FIFO would see its end if it were closed before the engine has opened it.
///
/// # Errors
/// The first that cannot be written to.
pub(super) fn check(directives: &Directives, version: EngineVersion) -> Result<Vec<File>, LogError> {
    let logs = Logs::of(directives, version);
    let mut open = Vec::new();
    for directive in logs.files {
        let path = path_of(directive, version);
        open.extend(try_file(&path).map_err(failed(directive, &path))?);
    }
    for directive in logs.folders {
        let path = path_of(directive, version);
        try_folder(&path).map_err(failed(directive, &path))?;
    }
    Ok(open)
}

/// The log files that the directives name and the engine opens.
pub(super) fn files(directives: &Directives, version: EngineVersion) -> Vec<PathBuf> {
    Logs::of(directives, version).files.into_iter().map(|directive| path_of(directive, version)).collect()
}

fn failed(directive: &Directive, path: &Path) -> impl Fn(io::Error) -> LogError {
    move |cause| LogError {
        place: directive.place.clone(),
        directive: directive.name.clone(),
        path: path.to_owned(),
        cause,
    }
}

/// The directives that name what the engine opens.
struct Logs<'a> {
    files: Vec<&'a Directive>,
    folders: Vec<&'a Directive>,
    /// The last `SecAuditLog`.
    audit: Option<&'a Directive>,
}

impl<'a> Logs<'a> {
    fn of(directives: &'a Directives, version: EngineVersion) -> Self {
        let last =
            |name: &str| directives.all().iter().rev().find(|found| found.name.eq_ignore_ascii_case(name));
        let says = |name: &str, value: &str| {
            last(name).is_some_and(|found| found.first_word(version).eq_ignore_ascii_case(value))
        };
        let is_switched =
            || directives.all().iter().any(|rule| contains_ignoring_case(&rule.arguments, "ctl:auditEngine"));
        let is_on = last("SecAuditEngine")
            .is_some_and(|found| !found.first_word(version).eq_ignore_ascii_case("Off"));
        let is_remote = version == EngineVersion::V3 && says("SecAuditLogType", "HTTPS");
        // libmodsecurity opens the audit log only if there can be records, and of several names the last; ModSecurity 2.9
        // opens each when it comes to it.
        let audits = !is_remote && (version == EngineVersion::V2 || is_on || is_switched());
        let is_pipe = |directive: &&Directive| directive.first_word(version).starts_with('|');
        let named = |name: &'static str| match version {
            EngineVersion::V2 => {
                directives.all().iter().filter(|found| found.name.eq_ignore_ascii_case(name)).collect()
            }
            EngineVersion::V3 => last(name).into_iter().collect::<Vec<_>>(),
        };
        let mut files = named("SecDebugLog");
        let mut folders = Vec::new();
        if audits {
            files.extend(named("SecAuditLog"));
            files.extend(named("SecAuditLog2"));
            if says("SecAuditLogType", "Concurrent") || says("SecAuditLogType", "Parallel") {
                folders.extend(last("SecAuditLogStorageDir"));
            }
        }
        // ModSecurity 2.9 itself refuses a program to write to; libmodsecurity takes it for the name of a file.
        files.retain(|directive| version == EngineVersion::V3 || !is_pipe(directive));
        Self { files, folders, audit: last("SecAuditLog").filter(|directive| audits && !is_pipe(directive)) }
    }
}

fn contains_ignoring_case(text: &str, part: &str) -> bool {
    text.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
}

fn path_of(directive: &Directive, version: EngineVersion) -> PathBuf {
    PathBuf::from(directive.first_word(version))
}

/// Opens the file to append to it. A file that does not exist is created and removed again, so that the engine creates it
/// with the permissions that the rules want.
fn try_file(path: &Path) -> io::Result<Option<File>> {
    // Without O_NONBLOCK, opening a FIFO that nobody reads would wait for a reader.
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(libc::O_NONBLOCK);
    match options.open(path) {
        // The file to which a link leads is left for the engine.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            options.create(true).open(path).map(Some)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            options.create_new(true).open(path)?;
            fs::remove_file(path)?;
            Ok(None)
        }
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) && is_fifo(path) => {
            Err(io::Error::new(error.kind(), "it is a FIFO that nobody reads"))
        }
        opened => opened.map(Some),
    }
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo())
}

/// Whether files can be made in the folder, or the folder in the one above it.
fn try_folder(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok(_) => Ok(access(path, AccessFlags::W_OK | AccessFlags::X_OK)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The folder above a relative name of one part is that of the process.
            let above = std::path::absolute(path)?;
            match above.parent() {
                Some(above) if above.is_dir() => Ok(access(above, AccessFlags::W_OK | AccessFlags::X_OK)?),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// The audit log of one set of rules, as the engine has opened it.
#[derive(Debug, Default)]
pub struct AuditLog {
    /// Whether there is a `SecAuditLog`.
    is_named: bool,
    /// Its file, if it is one that grows.
    file: Option<File>,
}

/// The audit log before a logging phase.
#[derive(Clone, Copy, Debug)]
struct Mark(Option<u64>);

impl AuditLog {
    /// The audit log that these directives name, after an engine has opened it: the same file for as long as the engine
    /// writes to it, also when it is moved away.
    pub(super) fn of(directives: &Directives, version: EngineVersion) -> Self {
        let audit = Logs::of(directives, version).audit;
        // Only to be looked at.
        let open = |directive| {
            OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path_of(directive, version)).ok()
        };
        let is_regular = |file: &File| file.metadata().is_ok_and(|file| file.is_file());
        Self { is_named: audit.is_some(), file: audit.and_then(open).filter(is_regular) }
    }

    /// To be called before the logging phase.
    fn mark(&self) -> Mark {
        Mark(self.file.as_ref().and_then(|file| file.metadata().ok()).map(|file| file.len()))
    }

    /// Why the record of the logging phase since `mark` is lost; `None` when it is not, or there is none.
    fn loss(&self, mark: Mark, record: AuditRecord) -> Option<String> {
        match record {
            AuditRecord::None => None,
            AuditRecord::Lost(cause) => Some(cause),
            AuditRecord::Appended if !self.is_named => {
                Some("the rules want audit records and name no SecAuditLog".to_owned())
            }
            AuditRecord::Appended => self.loss_of_line(mark),
            AuditRecord::Own(path) => loss_of_file(&path).or_else(|| self.loss_of_line(mark)),
        }
    }

    fn loss_of_line(&self, Mark(before): Mark) -> Option<String> {
        let after = self.file.as_ref()?.metadata().ok()?;
        if after.nlink() == 0 {
            return Some("the file of SecAuditLog was removed".to_owned());
        }
        // A file that is shorter was cut meanwhile, so that nothing is known.
        (Some(after.len()) == before)
            .then(|| "the file of SecAuditLog does not grow: is the disk full?".to_owned())
    }
}

/// Finishes a transaction: runs its logging phase, and counts its audit record in `losses` if it is lost.
///
/// # Errors
/// When the library gives up.
pub(super) fn log(
    transaction: &mut impl Transaction,
    denied: Option<u16>,
    audit: &AuditLog,
    losses: &mut AuditLosses,
) -> Result<(), InspectionError> {
    let mark = audit.mark();
    let record = transaction.log(denied)?;
    if let Some(cause) = audit.loss(mark, record) {
        losses.add(AuditLosses { records: 1, cause });
    }
    Ok(())
}

/// Why the record with this file of its own is lost, if it is.
fn loss_of_file(path: &Path) -> Option<String> {
    let is_whole = || -> io::Result<bool> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        // Of a record in the native format, and of one in JSON.
        Ok(end.trim_ascii_end().ends_with(b"-Z--") || end.trim_ascii_end().ends_with(b"}"))
    };
    match is_whole() {
        Ok(true) => None,
        Ok(false) => Some("a file in SecAuditLogStorageDir is not whole: is the disk full?".to_owned()),
        Err(cause) => Some(format!("no file in SecAuditLogStorageDir: {cause}")),
    }
}
