//! Binding the addresses to listen on, before any thread starts.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use actors::Socket;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{Mode, umask};
use nix::unistd::fchownat;

use crate::daemon::inherited::{Bound, InheritError};
use crate::daemon::privileges::path_within;
use crate::daemon::{activation, successor};
use crate::settings::{ListenAddress, Settings, UnixAddress};

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

    /// Notes that `root` becomes the root of all files. Those outside cannot be removed any more.
    pub(crate) fn enter(&mut self, root: &Path) {
        self.0 = self.0.iter().filter_map(|path| path_within(root, path)).collect();
    }
}

/// The sockets of the program.
pub(crate) struct Sockets {
    /// Those that HAProxy sends requests to.
    pub(crate) listen: Vec<Bound>,
    /// The one for agent checks.
    pub(crate) agent_check: Option<Bound>,
    /// The files of those that have one.
    pub(crate) files: SocketFiles,
}

/// Binds the addresses, but takes over those sockets of the service manager or of a predecessor that are bound to them
/// already. All sockets of the manager are listened on; with some, the default address is not.
///
/// # Errors
/// When one of the addresses cannot be bound, or a socket not be taken over; no socket stays open then.
pub(crate) fn bind(settings: &Settings) -> Result<Sockets, BindError> {
    let mut files = SocketFiles::default();
    let inherited = successor::inherited().and_then(|sockets| sockets.map_or_else(activation::received, Ok));
    let mut inherited = inherited.map_err(BindError::Inherited)?;
    let is_activated = inherited.iter().any(|socket| socket.is_managers);
    let mut take_or_bind = |address: &ListenAddress| {
        let taken = inherited.iter().position(|socket| socket.is_at(address));
        let bound = match taken {
            // In the order of a predecessor's addresses, of which several may be port 0.
            Some(index) => inherited.remove(index),
            None => bind_to(address).map_err(|cause| BindError::Address(address.clone(), cause))?,
        };
        if let (ListenAddress::Unix(socket), false) = (address, bound.is_managers) {
            files.0.push(socket.path.clone());
        }
        Ok(bound)
    };
    let wanted = settings.listen.iter().filter(|_| !(settings.is_listen_default && is_activated));
    let mut listen = wanted.map(&mut take_or_bind).collect::<Result<Vec<_>, _>>()?;
    let agent_check = settings.agent_check.as_ref().map(take_or_bind).transpose()?;
    // Those of a predecessor that no option names any more are closed here.
    listen.extend(inherited.into_iter().filter(|socket| socket.is_managers));
    Ok(Sockets { listen, agent_check, files })
}

fn bind_to(address: &ListenAddress) -> io::Result<Bound> {
    let socket = match address {
        ListenAddress::Tcp(address) => Socket::Tcp(TcpListener::bind(address)?),
        ListenAddress::Unix(address) => Socket::Unix(bind_unix(address)?),
    };
    Ok(Bound { socket, is_managers: false })
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
