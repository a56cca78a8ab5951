//! The socket of `--admin`.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

use crate::settings::AdminAddress;

/// A bound socket. Dropped, it takes its file with it.
pub(crate) struct AdminSocket {
    pub(super) listener: Listener,
    _file: SocketFile,
}

/// The listening socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket.
struct SocketFile(Option<PathBuf>);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl AdminSocket {
    /// Binds the address. To be called while the process has one thread, as a Unix socket gets its mode from the umask.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) fn bind(address: &AdminAddress) -> io::Result<Self> {
        let (listener, file) = match address {
            AdminAddress::Tcp(address) => {
                let socket = TcpListener::bind(address)?;
                socket.set_nonblocking(true)?;
                (Listener::Tcp(socket), None)
            }
            AdminAddress::Unix(path) => {
                let socket = bind_unix(path)?;
                socket.set_nonblocking(true)?;
                (Listener::Unix(socket), Some(path.clone()))
            }
        };
        Ok(Self { listener, _file: SocketFile(file) })
    }

    /// The address as the operator writes it, with the port that the kernel chose.
    pub(crate) fn address(&self) -> String {
        match &self.listener {
            Listener::Tcp(socket) => socket.local_addr().map(|address| address.to_string()),
            Listener::Unix(socket) => socket.local_addr().map(|address| {
                address
                    .as_pathname()
                    .map_or_else(|| "unix".to_owned(), |path| format!("unix:{}", path.display()))
            }),
        }
        .unwrap_or_else(|error| format!("unknown ({error})"))
    }
}

/// Binds a Unix socket to which owner and group may connect, in place of a socket that a dead process left behind.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    let is_dead =
        || UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && is_dead() {
        std::fs::remove_file(path)?;
    }
    let before = umask(Mode::S_IXUSR | Mode::S_IXGRP | Mode::S_IRWXO);
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}
