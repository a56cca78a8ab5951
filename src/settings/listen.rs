//! `--listen` and `-p`: where to listen.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{BadOption, number};

/// The port without `-p`.
const DEFAULT_PORT: u16 = 12345;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The addresses of `--listen`, or the loopback address with the port of `-p`.
pub(super) fn parse_all(listen: &[OsString], port: Option<&str>) -> Result<Vec<ListenAddress>, BadOption> {
    match (listen, port) {
        ([], port) => {
            let port = port.map_or(Ok(DEFAULT_PORT), |port| number::parse("--port", port, 0, u16::MAX))?;
            Ok(vec![ListenAddress::Tcp((Ipv4Addr::LOCALHOST, port).into())])
        }
        (_, Some(_)) => Err(BadOption("--port and --listen exclude each other".to_owned())),
        (addresses, None) => addresses.iter().map(|address| parse(address)).collect(),
    }
}

fn parse(word: &OsStr) -> Result<ListenAddress, BadOption> {
    if let Some(path) = word.as_bytes().strip_prefix(b"unix:").filter(|path| !path.is_empty()) {
        return Ok(ListenAddress::Unix(PathBuf::from(OsStr::from_bytes(path))));
    }
    let address = word.to_str().and_then(|word| word.parse().ok());
    address.map(ListenAddress::Tcp).ok_or_else(|| {
        BadOption(format!(
            "--listen: {word:?} is not an address like 127.0.0.1:12345, [::]:12345 or unix:/run/x.sock"
        ))
    })
}
