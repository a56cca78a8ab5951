//! A TCP link inside TLS: rustls does the protocol, on the same readiness of the socket as without it.
//!
//! The handshake has no timer of its own: a link whose HELLO does not come in time is closed, and HELLO comes after it.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Reads of the socket in a row without a byte for the reader. A peer can send records without content for ever.
const READS_PER_TURN: usize = 16;

/// Bytes that TLS keeps for a socket that takes no more: one record, so that it shows whether the peer reads.
const OUTPUT: usize = 16 * 1024;

/// The certificate and the rules for peers of TLS listeners, which can be replaced while they listen.
#[derive(Clone)]
pub struct TlsServer(Arc<RwLock<Arc<ServerConfig>>>);

impl TlsServer {
    /// For listeners that begin with this.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// Links that are accepted from now on use this. Those that are open keep what they have agreed on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// The server's end of a new link.
    ///
    /// # Errors
    /// When rustls cannot use the configuration.
    pub(super) fn accept(&self, socket: TcpStream) -> io::Result<TlsStream> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(OUTPUT));
        Ok(TlsStream { socket, session, is_closing: false })
    }
}

/// The server's end of a link.
pub(crate) struct TlsStream {
    pub(super) socket: TcpStream,
    session: ServerConnection,
    /// The peer was told that nothing more comes.
    is_closing: bool,
}

impl TlsStream {
    /// Appends what has arrived to `input` and returns the number of bytes; 0 is the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        for _ in 0..READS_PER_TURN {
            // The handshake's own messages. When the socket takes no more, reading goes on.
            let _ = self.poll_flush(cx)?;
            let mut reader = self.session.reader();
            match reader.fill_buf() {
                Ok(arrived) => {
                    let length = arrived.len();
                    input.extend_from_slice(arrived);
                    reader.consume(length);
                    return Poll::Ready(Ok(length));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.socket.poll_read_ready(cx))?;
            match self.session.read_tls(&mut Tcp(&self.socket)) {
                // Without the farewell of TLS. A frame that was cut off by that is noticed as it is without TLS.
                Ok(0) => return Poll::Ready(Ok(0)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            if let Err(error) = self.session.process_new_packets() {
                // The alert, if there is room for it.
                let _ = self.poll_flush(cx);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes as much of `output` as there is room for, and returns the number of bytes. [`poll_flush`](Self::poll_flush)
    /// brings them to the socket.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, output: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let taken = self.session.writer().write(output)?;
        let _ = self.poll_flush(cx)?;
        Poll::Ready(Ok(taken))
    }

    /// Writes what waits. `Ready` when the socket has all of it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Tcp(&self.socket)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the sending direction, in TLS and then in TCP.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.is_closing, true) {
            self.session.send_close_notify();
        }
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The socket, as rustls reads and writes it: WouldBlock when it has nothing or takes nothing.
struct Tcp<'a>(&'a TcpStream);

impl Read for Tcp<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Tcp<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
