//! `probe`: asks an agent what HAProxy's health check asks, for who has no HAProxy at hand: the health check of a container,
//! a probe of Kubernetes, a script.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use actors::spop::healthcheck::{self, Unhealthy};
use actors::spop::{Frame, ProtocolError};
use bytes::BytesMut;

use super::{fail, print};
use crate::settings::ListenAddress;

/// The most time for all addresses together, a little less than a second, so that the program ends within one.
const LIMIT: Duration = Duration::from_millis(900);

/// Why an agent is not healthy.
#[derive(Debug)]
enum ProbeError {
    /// There is no connection, or it broke.
    Link(io::Error),
    /// The agent closed the link instead of answering.
    Closed,
    /// The answer is no SPOP frame.
    Frame(ProtocolError),
    /// The answer is that of an agent that is not healthy.
    Unhealthy(Unhealthy),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(cause) => cause.fmt(f),
            Self::Closed => f.write_str("the link was closed instead of an answer"),
            Self::Frame(cause) => write!(f, "does not speak SPOP: {cause}"),
            Self::Unhealthy(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for ProbeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Link(cause) => Some(cause),
            Self::Closed => None,
            Self::Frame(cause) => Some(cause),
            Self::Unhealthy(cause) => Some(cause),
        }
    }
}

/// Does a health check at each address, one after the other, and prints one line. The exit status is 0 when each agent
/// answered as a healthy one does, else 1.
pub(super) fn probe(addresses: Vec<ListenAddress>) -> ExitCode {
    let start = Instant::now();
    let names: Vec<String> = addresses.iter().map(|address| reachable(address).to_string()).collect();
    // Another thread asks, and this one keeps the time: a connection to a Unix socket whose queue is full has no time-out.
    let (answer, answers) = channel();
    std::thread::spawn(move || {
        for address in &addresses {
            // Nobody listens any more when the time is up; then the process is ending.
            let _ = answer.send(ask(&reachable(address)));
        }
    });
    for name in &names {
        match answers.recv_timeout(LIMIT.saturating_sub(start.elapsed())) {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => return fail(1, &format!("{name}: {cause}")),
            Err(_) => return fail(1, &format!("{name}: no answer within a second")),
        }
    }
    print(&format!("{}: healthy, answered within {} ms", names.join(", "), start.elapsed().as_millis() + 1))
}

/// The address that reaches an agent that listens there: the loopback address for one that listens on all addresses.
fn reachable(address: &ListenAddress) -> ListenAddress {
    match address {
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            let loopback = match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            ListenAddress::Tcp(SocketAddr::new(loopback, address.port()))
        }
        other => other.clone(),
    }
}

/// Does one health check.
fn ask(address: &ListenAddress) -> Result<(), ProbeError> {
    match address {
        ListenAddress::Tcp(address) => shake_hands(TcpStream::connect_timeout(address, LIMIT)),
        ListenAddress::Unix(socket) => shake_hands(UnixStream::connect(&socket.path)),
    }
}

/// Sends the hello and checks the answer. The caller keeps the time.
fn shake_hands(link: io::Result<impl Read + Write>) -> Result<(), ProbeError> {
    let mut link = link.map_err(ProbeError::Link)?;
    let mut bytes = BytesMut::new();
    healthcheck::encode(&mut bytes);
    link.write_all(&bytes).map_err(ProbeError::Link)?;
    bytes.clear();
    let mut part = [0; 512];
    loop {
        let count = link.read(&mut part).map_err(ProbeError::Link)?;
        let Some(read) = part.get(..count).filter(|read| !read.is_empty()) else {
            return Err(ProbeError::Closed);
        };
        bytes.extend_from_slice(read);
        let frame = Frame::decode(&mut bytes, healthcheck::MAX_FRAME_SIZE).map_err(ProbeError::Frame)?;
        if let Some(frame) = frame {
            return healthcheck::check(&frame).map_err(ProbeError::Unhealthy);
        }
    }
}
