//! Binding the addresses to listen on, before any thread starts.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use actors::Socket;
use nix::sys::stat::{Mode, umask};

use crate::daemon::successor;
use crate::settings::ListenAddress;

/// An address that cannot be listened on.
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

/// Removes the files of Unix sockets when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct SocketFiles(Vec<PathBuf>);

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // Somebody else may have removed it; there is nobody left to tell.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl SocketFiles {
    /// Leaves the files to a successor.
    pub(crate) fn leave(mut self) {
        self.0.clear();
    }
}

/// Binds all of them, or none. Sockets that a predecessor left are taken instead.
pub(crate) fn bind(addresses: &[ListenAddress]) -> Result<(Vec<Socket>, SocketFiles), BindError> {
    let mut files = SocketFiles::default();
    let mut sockets = Vec::new();
    let mut inherited = successor::inherited().map(|sockets| sockets.map(Vec::into_iter));
    for address in addresses {
        let taken = match &mut inherited {
            Some(Ok(sockets)) => sockets.next().ok_or(io::ErrorKind::NotFound.into()).map(Some),
            Some(Err(error)) => Err(io::Error::from(error.kind())),
            None => Ok(None),
        };
        let socket = match (address, taken) {
            (_, Err(error)) => Err(error),
            (ListenAddress::Tcp(_), Ok(Some(socket))) => Ok(Socket::Tcp(socket.into())),
            (ListenAddress::Tcp(address), Ok(None)) => TcpListener::bind(address).map(Socket::Tcp),
            (ListenAddress::Unix(path), Ok(taken)) => {
                let bound = taken.map_or_else(|| bind_unix(path), |socket| Ok(socket.into()));
                bound.map(|socket| {
                    files.0.push(path.clone());
                    Socket::Unix(socket)
                })
            }
        };
        sockets.push(socket.map_err(|cause| BindError { address: address.clone(), cause })?);
    }
    Ok((sockets, files))
}

/// Binds a Unix socket for owner and group, in place of one that a dead process left behind.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    // Only the mask makes the file right from its first moment; no other thread runs yet that it could affect.
    let before = umask(Mode::S_IXUSR | Mode::S_IXGRP | Mode::S_IRWXO);
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}
