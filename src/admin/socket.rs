//! The socket of `--admin`.

use std::fs::Permissions;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::settings::AdminAddress;

/// Owner and group may connect to a Unix socket.
const MODE: u32 = 0o660;

/// How often an address is tried that a predecessor still has.
const RETRY: Duration = Duration::from_millis(100);

/// A bound socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket that is bound, or will be when a predecessor has let go of the address.
pub(crate) struct AdminSocket {
    address: AdminAddress,
    listener: Option<Listener>,
    is_bound: Arc<AtomicBool>,
}

/// The file of a Unix socket, which goes when this is dropped.
pub(super) struct SocketFile {
    path: PathBuf,
    /// The file is this process's: before that it may be a predecessor's.
    is_bound: Arc<AtomicBool>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_bound.load(Ordering::Relaxed) {
            // It may be gone already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl AdminSocket {
    /// Binds the address. `has_predecessor`: if another process has it, [`wait`](Self::wait) waits until that ends.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) fn bind(address: &AdminAddress, has_predecessor: bool) -> io::Result<Self> {
        let listener = match bind(address) {
            Err(error) if has_predecessor && error.kind() == io::ErrorKind::AddrInUse => None,
            bound => Some(bound?),
        };
        let is_bound = Arc::new(AtomicBool::new(listener.is_some()));
        Ok(Self { address: address.clone(), listener, is_bound })
    }

    /// The file that is to go at the end.
    pub(super) fn file(&self) -> Option<SocketFile> {
        match &self.address {
            AdminAddress::Tcp(_) => None,
            AdminAddress::Unix(path) => {
                Some(SocketFile { path: path.clone(), is_bound: Arc::clone(&self.is_bound) })
            }
        }
    }

    /// The bound socket, once there is one, and its address as the operator writes it, with the port that the kernel chose.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(super) fn wait(mut self) -> io::Result<(Listener, String)> {
        let listener = loop {
            match self.listener.take().map_or_else(|| bind(&self.address), Ok) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => sleep(RETRY),
                bound => break bound?,
            }
        };
        self.is_bound.store(true, Ordering::Relaxed);
        let address = match (&listener, &self.address) {
            (Listener::Tcp(socket), _) => socket.local_addr()?.to_string(),
            (_, AdminAddress::Unix(path)) => format!("unix:{}", path.display()),
            (Listener::Unix(_), AdminAddress::Tcp(address)) => address.to_string(),
        };
        Ok((listener, address))
    }
}

fn bind(address: &AdminAddress) -> io::Result<Listener> {
    match address {
        AdminAddress::Tcp(address) => {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(Listener::Tcp(socket))
        }
        AdminAddress::Unix(path) => {
            let socket = bind_unix(path)?;
            socket.set_nonblocking(true)?;
            Ok(Listener::Unix(socket))
        }
    }
}

/// Binds a Unix socket, in place of one that a dead process left behind. It is bound under another name and takes its own
/// when it has its mode, so that nobody connects before that.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(file) = path.symlink_metadata() {
        let is_dead =
            || UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if !file.file_type().is_socket() || !is_dead() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    // Left behind by a process that had the same number.
    let _ = std::fs::remove_file(&new);
    let socket = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, Permissions::from_mode(MODE))?;
    std::fs::rename(&new, path)?;
    Ok(socket)
}
