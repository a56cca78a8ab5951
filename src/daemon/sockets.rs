//! Binding the addresses to listen on, before any thread starts.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::Socket;
use nix::sys::stat::{Mode, umask};

use crate::daemon::inherited::Bound;
use crate::settings::ListenAddress;

/// Why an address cannot be listened on.
#[derive(Debug)]
pub(crate) struct BindError {
    address: ListenAddress,
    cause: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.cause)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Removes the files of Unix sockets when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct SocketFiles {
    paths: Vec<PathBuf>,
    /// Another process looks after them.
    are_others: Arc<AtomicBool>,
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        if self.are_others.load(Ordering::Relaxed) {
            return;
        }
        for path in &self.paths {
            // The program is ending, and the file may have been removed already; an error changes nothing.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl SocketFiles {
    /// Whether another process looks after the files: a predecessor that has not left them to this one, or a successor. To
    /// be changed when that does.
    pub(crate) fn are_others(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.are_others)
    }
}

/// Binds the addresses, but takes over those `inherited` sockets of the service manager or of a predecessor that are bound
/// to them already. All sockets of the manager are listened on; with some, the default address is not. The files are the
/// predecessor's until it hands over.
///
/// # Errors
/// When one of the addresses cannot be bound; no socket stays open then.
pub(crate) fn bind(
    addresses: &[ListenAddress],
    is_default: bool,
    mut inherited: Vec<Bound>,
    has_predecessor: bool,
) -> Result<(Vec<Bound>, SocketFiles), BindError> {
    let mut files = SocketFiles::default();
    files.are_others.store(has_predecessor, Ordering::Relaxed);
    let mut sockets = Vec::new();
    let is_activated = inherited.iter().any(|socket| socket.is_managers);
    for address in addresses.iter().filter(|_| !(is_default && is_activated)) {
        let taken = inherited.iter().position(|socket| socket.is_at(address));
        let bound = match taken {
            Some(index) => inherited.swap_remove(index),
            None => bind_to(address).map_err(|cause| BindError { address: address.clone(), cause })?,
        };
        if let (ListenAddress::Unix(path), false) = (address, bound.is_managers) {
            files.paths.push(path.clone());
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
