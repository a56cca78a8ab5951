//! Binding the addresses to listen on, before any thread starts.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use actors::Socket;
use nix::sys::stat::{Mode, umask};

use crate::settings::ListenAddress;

/// An address that cannot be listened on.
#[derive(Debug)]
pub(super) struct BindError {
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
pub(super) struct SocketFiles(Vec<PathBuf>);

impl Drop for SocketFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // Somebody else may have removed it; there is nobody left to tell.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds all of them, or none.
pub(super) fn bind(addresses: &[ListenAddress]) -> Result<(Vec<Socket>, SocketFiles), BindError> {
    let mut files = SocketFiles::default();
    let mut sockets = Vec::new();
    for address in addresses {
        let socket = match address {
            ListenAddress::Tcp(address) => TcpListener::bind(address).map(Socket::Tcp),
            ListenAddress::Unix(path) => bind_unix(path).map(|socket| {
                files.0.push(path.clone());
                Socket::Unix(socket)
            }),
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
