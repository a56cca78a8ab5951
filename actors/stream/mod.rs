//! The sockets of Listener and Connection: TCP, with TLS or without, and Unix sockets as one type.

mod tls;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustix::io::{Errno, ioctl_fionread};
use rustix::process::{Resource, getrlimit};
use tokio::io::AsyncWrite;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

pub use tls::TlsServer;
use tls::TlsStream;

/// A socket that is bound and listening. The program makes it before the tree starts, so that it does not start with an
/// address that is taken.
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// TCP, whose links are inside TLS.
    Tls(std::net::TcpListener, TlsServer),
    /// A Unix stream socket.
    Unix(std::os::unix::net::UnixListener),
}

/// A listening socket in the reactor.
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    Tls(TcpListener, TlsServer),
    Unix(UnixListener),
}

impl Acceptor {
    /// Puts the socket into the reactor of the current thread.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket).map(Self::Tcp)
            }
            Socket::Tls(socket, server) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket).map(|socket| Self::Tls(socket, server))
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                UnixListener::from_std(socket).map(Self::Unix)
            }
        }
    }

    /// The address as the operator writes it: `127.0.0.1:9000`, `unix:/run/agent.sock`.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(socket) | Self::Tls(socket, _) => {
                socket.local_addr().map(|address| address.to_string())
            }
            Self::Unix(socket) => socket.local_addr().map(|address| match address.as_pathname() {
                Some(path) => format!("unix:{}", path.display()),
                None => "unix".to_owned(),
            }),
        }
        .unwrap_or_else(|error| format!("unknown ({error})"))
    }

    /// Checks that the next link would leave `reserve` descriptors to the rest of the program.
    ///
    /// # Errors
    /// EMFILE when it would not.
    pub(crate) fn check_descriptors(&self, reserve: u64) -> io::Result<()> {
        let socket = match self {
            Self::Tcp(socket) | Self::Tls(socket, _) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        };
        // The system gives the lowest number that is free. So if links never get one of the last numbers, these are left.
        let next = socket.try_clone_to_owned()?.as_raw_fd();
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        if u64::try_from(next).is_ok_and(|next| next.saturating_add(reserve) >= limit) {
            return Err(Errno::MFILE.into());
        }
        Ok(())
    }

    /// The next link, with the name of its peer for the log.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, String)>> {
        Poll::Ready(Ok(match self {
            Self::Tcp(socket) => {
                let (stream, peer) = ready!(poll_accept_tcp(socket, cx))?;
                (Stream::Tcp(stream), peer)
            }
            Self::Tls(socket, server) => {
                let (stream, peer) = ready!(poll_accept_tcp(socket, cx))?;
                (Stream::Tls(Box::new(server.accept(stream)?)), peer)
            }
            Self::Unix(socket) => {
                let (stream, _) = ready!(socket.poll_accept(cx))?;
                let peer = match stream.peer_cred().ok().and_then(|peer| peer.pid()) {
                    Some(pid) => format!("unix, process {pid}"),
                    None => "unix".to_owned(),
                };
                (Stream::Unix(stream), peer)
            }
        }))
    }
}

fn poll_accept_tcp(socket: &TcpListener, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, String)>> {
    let (stream, peer) = ready!(socket.poll_accept(cx))?;
    // The client waits for the ACK: it must not wait in the kernel for more bytes to leave with it.
    stream.set_nodelay(true)?;
    Poll::Ready(Ok((stream, peer.to_string())))
}

/// The peer of a link, as far as the system knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// A process at this address.
    Address(IpAddr),
    /// This process of this user, on this machine.
    Process { uid: u32, pid: i32 },
}

impl Peer {
    fn of_tcp(stream: &TcpStream) -> Option<Self> {
        Some(Self::Address(stream.peer_addr().ok()?.ip().to_canonical()))
    }
}

/// One end of a link.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
    Unix(UnixStream),
    /// The link has ended.
    Closed,
}

impl Stream {
    /// The peer, if the system knows it.
    pub(crate) fn peer(&self) -> Option<Peer> {
        match self {
            Self::Tcp(stream) => Peer::of_tcp(stream),
            Self::Tls(stream) => Peer::of_tcp(&stream.socket),
            Self::Unix(stream) => {
                let peer = stream.peer_cred().ok()?;
                // 0 stands for every process that this one cannot see, for instance in another container.
                let pid = peer.pid().filter(|&pid| pid != 0)?;
                Some(Peer::Process { uid: peer.uid(), pid })
            }
            Self::Closed => None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Reads into the spare capacity of `input` and returns the number of bytes; 0 is the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        loop {
            let read = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read_buf(input)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read_buf(input)
                }
                Self::Tls(stream) => return stream.poll_read(cx, input),
                Self::Closed => Ok(0),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Whether bytes wait to be read. A read that is `Pending` does not say so: the reactor may not have looked since they
    /// came.
    pub(crate) fn has_unread_input(&self) -> bool {
        let unread = match self {
            Self::Tcp(stream) => ioctl_fionread(stream),
            Self::Tls(stream) => ioctl_fionread(&stream.socket),
            Self::Unix(stream) => ioctl_fionread(stream),
            Self::Closed => Ok(0),
        };
        unread.is_ok_and(|bytes| bytes > 0)
    }

    /// Writes as much of `output` as is taken now, and returns the number of bytes. [`Stream::poll_flush`] follows.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, output: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let written = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_write(output)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_write(output)
                }
                Self::Tls(stream) => return stream.poll_write(cx, output),
                Self::Closed => Err(io::ErrorKind::NotConnected.into()),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Brings what was written to the socket. Without TLS it is there already.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(stream) => stream.poll_flush(cx),
            Self::Tcp(_) | Self::Unix(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }

    /// Ends the sending direction: the peer reads all that was sent, and then the end of the stream.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
