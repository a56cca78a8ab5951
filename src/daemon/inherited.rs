//! Listening sockets that this process was started with: from the service manager, or from the process that this one
//! replaces.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use actors::{Socket, TlsServer};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

use crate::daemon::handover::Predecessor;
use crate::daemon::{activation, successor};
use crate::settings::ListenAddress;

/// What this process was started with.
pub(crate) struct Inherited {
    /// The process that waits to hand over.
    pub(crate) predecessor: Option<Predecessor>,
    /// Listening sockets.
    pub(crate) sockets: Vec<Bound>,
    /// The file with the number of the process, locked.
    pub(crate) pid_file: Option<OwnedFd>,
}

/// Takes over what this process was started with.
///
/// To be called once, before this process opens anything.
///
/// # Errors
/// When something is no listening socket that should be one.
pub(crate) fn all() -> Result<Inherited, InheritError> {
    let whose = || "the sockets of the process before".to_owned();
    let failed = |cause| InheritError { whose: whose(), cause };
    if let Some(inherited) = Predecessor::find().map_err(failed)? {
        return Ok(inherited);
    }
    let sockets = match successor::inherited().map_err(failed)? {
        Some(sockets) => sockets,
        None => activation::received()?,
    };
    let pid_file = successor::inherited_pid_file().map_err(failed)?;
    Ok(Inherited { predecessor: None, sockets, pid_file })
}

/// A socket that is bound and listening.
pub(crate) struct Bound {
    /// The socket.
    pub(crate) socket: Socket,
    /// The service manager has it too, and looks after its file.
    pub(crate) is_managers: bool,
}

impl Bound {
    /// Takes over a socket that another process has bound.
    ///
    /// # Errors
    /// When no links can be accepted on it.
    pub(crate) fn inherit(descriptor: OwnedFd, is_managers: bool) -> io::Result<Self> {
        let wrong = |cause| io::Error::new(io::ErrorKind::InvalidInput, cause);
        if getsockopt(&descriptor, sockopt::SockType)? != SockType::Stream {
            return Err(wrong("it is no stream socket"));
        }
        if !getsockopt(&descriptor, sockopt::AcceptConn)? {
            return Err(wrong("it does not listen"));
        }
        let address: SockaddrStorage = getsockname(descriptor.as_raw_fd())?;
        let socket = match address.family() {
            Some(AddressFamily::Inet | AddressFamily::Inet6) => Socket::Tcp(TcpListener::from(descriptor)),
            Some(AddressFamily::Unix) => Socket::Unix(UnixListener::from(descriptor)),
            _ => return Err(wrong("it is neither of TCP nor a Unix socket")),
        };
        Ok(Self { socket, is_managers })
    }

    /// The socket to accept links on, with TLS on TCP if there are certificates.
    pub(crate) fn with_tls(self, tls: Option<&TlsServer>) -> Socket {
        match (self.socket, tls) {
            (Socket::Tcp(socket), Some(tls)) => Socket::Tls(socket, tls.clone()),
            (socket, _) => socket,
        }
    }

    /// The address at which others than this machine may reach it over TCP.
    pub(crate) fn exposed_address(&self) -> Option<SocketAddr> {
        let address = match &self.socket {
            Socket::Tcp(socket) | Socket::Tls(socket, _) => socket.local_addr().ok(),
            Socket::Unix(_) => None,
        };
        address.filter(|address| !address.ip().to_canonical().is_loopback())
    }

    /// Whether it is bound to this address; port 0 stands for any port.
    pub(crate) fn is_at(&self, address: &ListenAddress) -> bool {
        match (&self.socket, address) {
            (Socket::Tcp(socket) | Socket::Tls(socket, _), ListenAddress::Tcp(wanted)) => {
                socket.local_addr().is_ok_and(|bound| {
                    bound.ip() == wanted.ip() && (wanted.port() == 0 || bound.port() == wanted.port())
                })
            }
            (Socket::Unix(socket), ListenAddress::Unix(wanted)) => {
                socket.local_addr().is_ok_and(|bound| bound.as_pathname() == Some(&wanted.path))
            }
            _ => false,
        }
    }
}

/// Why a socket cannot be taken over.
#[derive(Debug)]
pub(crate) struct InheritError {
    /// Who left it, and what is wrong.
    pub(crate) whose: String,
    /// The system's error, or what is wrong with the socket.
    pub(crate) cause: io::Error,
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot take over {}: {}", self.whose, self.cause)
    }
}

impl std::error::Error for InheritError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
