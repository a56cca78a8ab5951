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
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{Mode, umask};
use nix::unistd::fchownat;

use crate::daemon::inherited::Bound;
use crate::daemon::privileges::path_within;
use crate::settings::{ListenAddress, Settings, UnixAddress};

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

    /// Notes that `root` becomes the root of all files. Those outside cannot be removed any more.
    pub(crate) fn enter(&mut self, root: &Path) {
        self.paths = self.paths.iter().filter_map(|path| path_within(root, path)).collect();
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

/// Binds the addresses, but takes over those `inherited` sockets of the service manager or of a predecessor that are bound
/// to them already. All sockets of the manager are listened on; with some, the default address is not. The files are the
/// predecessor's until it hands over.
///
/// # Errors
/// When one of the addresses cannot be bound; no socket stays open then.
pub(crate) fn bind(
    settings: &Settings,
    mut inherited: Vec<Bound>,
    has_predecessor: bool,
) -> Result<Sockets, BindError> {
    let mut files = SocketFiles::default();
    files.are_others.store(has_predecessor, Ordering::Relaxed);
    let is_activated = inherited.iter().any(|socket| socket.is_managers);
    let mut take_or_bind = |address: &ListenAddress| {
        let taken = inherited.iter().position(|socket| socket.is_at(address));
        let bound = match taken {
            // In the order of a predecessor's addresses, of which several may be port 0.
            Some(index) => inherited.remove(index),
            None => bind_to(address).map_err(|cause| BindError { address: address.clone(), cause })?,
        };
        if let (ListenAddress::Unix(socket), false) = (address, bound.is_managers) {
            files.paths.push(socket.path.clone());
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
