//! What writes records: one file for each kind of target. Each writes a record at once, in one call of the system.

mod file;
mod journal;
mod json;
mod standard_error;
mod syslog;
mod text;

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::record::Entry;
use super::target::Destination;

/// Writes records to one target.
pub(super) trait Sink: Send {
    /// Writes one record.
    ///
    /// # Errors
    /// When it could not be written whole.
    fn write(&mut self, entry: &Entry) -> io::Result<()>;

    /// Opens the target anew, after it was moved away. What has no file does nothing.
    ///
    /// # Errors
    /// When the file cannot be opened; the old one stays open.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the text of a record, line break included.
type Format = fn(&Entry) -> Vec<u8>;

/// Opens a target.
///
/// # Errors
/// When the file cannot be opened. A socket need not be there yet.
pub(super) fn open(destination: &Destination) -> io::Result<Box<dyn Sink>> {
    Ok(match destination {
        Destination::StandardError => standard_error::text(),
        Destination::JsonStandardError => standard_error::json(),
        Destination::File(path) => Box::new(file::LogFile::open(path, text::line)?),
        Destination::JsonFile(path) => Box::new(file::LogFile::open(path, json::line)?),
        Destination::Syslog(path) => Box::new(syslog::Syslog::new(path.clone())),
        Destination::Journal(path) => Box::new(journal::Journal::new(path.clone())),
    })
}

/// A datagram socket of another program, which may be started anew at any time.
struct Peer {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Peer {
    fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    /// Sends a datagram; connects when there is no connection or the one that there was is broken.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket
            && socket.send(datagram).is_ok()
        {
            return Ok(());
        }
        self.socket = None;
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.send(datagram)?;
        self.socket = Some(socket);
        Ok(())
    }
}
