//! Binding the addresses to listen on, before any thread starts.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use actors::Socket;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{Mode, umask};
use nix::unistd::fchownat;

use crate::daemon::privileges::path_within;
use crate::settings::{ListenAddress, UnixAddress};

/// Why there are no sockets to listen on.
#[derive(Debug)]
pub(crate) enum BindError {
    /// An address cannot be bound.
    Address(ListenAddress, io::Error),
    /// The sockets of the predecessor cannot be taken over.
    Inherited(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address, cause) => write!(f, "cannot listen on {address}: {cause}"),
            Self::Inherited(cause) => {
                write!(f, "cannot take over the sockets of the process before: {cause}")
            }
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address(_, cause) | Self::Inherited(cause) => Some(cause),
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

    /// Notes that `root` becomes the root of all files. Those outside cannot be removed any more.
    pub(crate) fn enter(&mut self, root: &Path) {
        self.0 = self.0.iter().filter_map(|path| path_within(root, path)).collect();
    }
}

/// Binds all addresses, or takes over the sockets that a predecessor has bound to them, which are in the same order.
///
/// # Errors
/// When one of the addresses cannot be bound, or a socket not be taken over; no socket stays open then.
pub(crate) fn bind<'a>(
    addresses: impl IntoIterator<Item = &'a ListenAddress>,
    inherited: Option<Vec<OwnedFd>>,
) -> Result<(Vec<Socket>, SocketFiles), BindError> {
    let mut files = SocketFiles::default();
    let mut sockets = Vec::new();
    let mut inherited = inherited.map(Vec::into_iter);
    for address in addresses {
        let taken = match &mut inherited {
            Some(sockets) => {
                let missing = || BindError::Inherited(io::ErrorKind::NotFound.into());
                Some(sockets.next().ok_or_else(missing)?)
            }
            None => None,
        };
        let socket = match (address, taken) {
            (ListenAddress::Tcp(_), Some(socket)) => Ok(Socket::Tcp(socket.into())),
            (ListenAddress::Tcp(address), None) => TcpListener::bind(address).map(Socket::Tcp),
            (ListenAddress::Unix(address), taken) => {
                let bound = taken.map_or_else(|| bind_unix(address), |socket| Ok(socket.into()));
                bound.map(|socket| {
                    files.0.push(address.path.clone());
                    Socket::Unix(socket)
                })
            }
        };
        sockets.push(socket.map_err(|cause| BindError::Address(address.clone(), cause))?);
    }
    Ok((sockets, files))
}

/// Binds a Unix socket to which those may connect who are to, in place of a socket that a dead process left behind.
fn bind_unix(address: &UnixAddress) -> io::Result<UnixListener> {
    let UnixAddress { path, mode, user, group } = address;
    let is_socket = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    // Only the umask gives the file the right mode from the first moment. No other thread runs yet that the umask could
    // affect.
    let before = umask(Mode::from_bits_truncate(!mode & 0o777));
    let bound = UnixListener::bind(path);
    umask(before);
    let bound = bound?;
    if user.is_some() || group.is_some() {
        let changed = fchownat(AT_FDCWD, path, *user, *group, AtFlags::AT_SYMLINK_NOFOLLOW);
        if let Err(errno) = changed {
            // The program ends, and the file is of no use to anybody.
            let _ = std::fs::remove_file(path);
            return Err(io::Error::other(format!("the socket cannot be given to user= or group=: {errno}")));
        }
    }
    Ok(bound)
}
