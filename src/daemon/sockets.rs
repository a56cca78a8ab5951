//! Binding the addresses to listen on, before any thread starts.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use actors::Socket;
use nix::sys::stat::{Mode, umask};

use crate::daemon::inherited::{Bound, InheritError};
use crate::daemon::{activation, successor};
use crate::settings::ListenAddress;

/// Why there are no sockets to listen on.
#[derive(Debug)]
pub(crate) enum BindError {
    /// An address cannot be bound.
    Address(ListenAddress, io::Error),
    /// A socket of another process cannot be taken over.
    Inherited(InheritError),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address, cause) => write!(f, "cannot listen on {address}: {cause}"),
            Self::Inherited(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address(_, cause) => Some(cause),
            Self::Inherited(error) => error.source(),
        }
    }
}

/// Removes the files of Unix sockets when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct SocketFiles(Vec<PathBuf>);

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // The program is ending, and the file may have been removed already; an error changes nothing.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl SocketFiles {
    /// Leaves the files to a successor, which listens on the same sockets.
    pub(crate) fn leave(mut self) {
        self.0.clear();
    }
}

/// Binds the addresses, but takes over those sockets of the service manager or of a predecessor that are bound to them
/// already. All sockets of the manager are listened on; with some, the default address is not.
///
/// # Errors
/// When one of the addresses cannot be bound, or a socket not be taken over; no socket stays open then.
pub(crate) fn bind(
    addresses: &[ListenAddress],
    is_default: bool,
) -> Result<(Vec<Bound>, SocketFiles), BindError> {
    let mut files = SocketFiles::default();
    let mut sockets = Vec::new();
    let inherited = successor::inherited().and_then(|sockets| sockets.map_or_else(activation::received, Ok));
    let mut inherited = inherited.map_err(BindError::Inherited)?;
    let is_activated = inherited.iter().any(|socket| socket.is_managers);
    for address in addresses.iter().filter(|_| !(is_default && is_activated)) {
        let taken = inherited.iter().position(|socket| socket.is_at(address));
        let bound = match taken {
            Some(index) => inherited.swap_remove(index),
            None => bind_to(address).map_err(|cause| BindError::Address(address.clone(), cause))?,
        };
        if let (ListenAddress::Unix(path), false) = (address, bound.is_managers) {
            files.0.push(path.clone());
        }
        sockets.push(bound);
    }
    // Those of a predecessor that no option names any more are closed here.
    sockets.extend(inherited.into_iter().filter(|socket| socket.is_managers));
    Ok((sockets, files))
}

fn bind_to(address: &ListenAddress) -> io::Result<Bound> {
    let socket = match address {
        ListenAddress::Tcp(address) => Socket::Tcp(TcpListener::bind(address)?),
        ListenAddress::Unix(path) => Socket::Unix(bind_unix(path)?),
    };
    Ok(Bound { socket, is_managers: false })
}

/// Binds a Unix socket to which owner and group may connect, in place of a socket that a dead process left behind.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    // Only the umask gives the file the right mode from the first moment. No other thread runs yet that the umask could
    // affect.
    let before = umask(Mode::S_IXUSR | Mode::S_IXGRP | Mode::S_IRWXO);
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}
