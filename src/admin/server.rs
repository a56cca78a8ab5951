//! The HTTP server: a thread with a runtime of its own.
//!
//! It is bounded in all that a client can ask for: connections at a time, the size of a head, and the time of a connection.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use slog::{Logger, error, info};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::http::{Peer, answer};
use super::socket::{AdminSocket, Listener, SocketFile};
use super::state::AdminState;

/// Connections at a time. Further ones are closed at once.
const CONNECTIONS: usize = 32;

/// Bytes of a request's head, and of what is buffered behind it.
const HEAD: usize = 16 * 1024;

/// Headers of a request.
const HEADERS: usize = 64;

/// The time in which a head must have come.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// The time of a connection, from the first byte to the last: each has one request.
const TIME: Duration = Duration::from_secs(20);

/// The pause when the system has no descriptor or memory for another connection.
const PAUSE: Duration = Duration::from_millis(200);

/// The running server, which goes on until the end of the process. It keeps the socket's file until it is dropped.
pub(crate) struct Server {
    _file: Option<SocketFile>,
}

impl Server {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be started.
    pub(crate) fn start(socket: AdminSocket, state: Arc<AdminState>, log: &Logger) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (file, log) = (socket.file(), log.clone());
        let body = move || {
            let served = socket.wait().and_then(|(listener, address)| {
                info!(log, # "admin_open", "admin address open"; "admin" => address);
                runtime.block_on(serve(listener, state))
            });
            // Nothing but a failure ends it.
            let Err(error) = served;
            error!(log, # "admin_failed", "the admin address does not answer"; "error" => %error);
        };
        thread::Builder::new().name("admin".to_owned()).spawn(body)?;
        Ok(Self { _file: file })
    }
}

async fn serve(listener: Listener, state: Arc<AdminState>) -> io::Result<Infallible> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::spawn(record(Arc::clone(&state)));
    match listener {
        Listener::Tcp(socket) => {
            let socket = TcpListener::from_std(socket)?;
            loop {
                match socket.accept().await {
                    Ok((stream, _)) => take(stream, Peer::Tcp, &permits, &state),
                    Err(_) => sleep(PAUSE).await,
                }
            }
        }
        Listener::Unix(socket) => {
            let socket = UnixListener::from_std(socket)?;
            loop {
                match socket.accept().await {
                    Ok((stream, _)) => take(stream, Peer::Unix, &permits, &state),
                    Err(_) => sleep(PAUSE).await,
                }
            }
        }
    }
}

/// Adds to the history as time goes on.
async fn record(state: Arc<AdminState>) {
    loop {
        state.history.add(&state);
        sleep(super::history::STEP).await;
    }
}

/// Serves a connection, if there are not too many.
fn take<S>(stream: S, peer: Peer, permits: &Arc<Semaphore>, state: &Arc<AdminState>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { return };
    let state = Arc::clone(state);
    let service = service_fn(move |request| {
        let response = answer(&request, peer, &state);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::spawn(async move {
        // A client that breaks the protocol, or takes too long, hurts itself alone.
        let _ = timeout(TIME, connection).await;
        drop(permit);
    });
}
