//! `--listen` and `--port`: where to listen.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{BadOption, number};

/// The port when neither `--port` nor `--listen` is given.
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

/// Returns the addresses of `--listen`; without any, the loopback address with the port of `--port`.
///
/// # Errors
/// When an address or the port cannot be read, or both options are given.
pub(super) fn parse_all(listen: &[OsString], port: Option<&str>) -> Result<Vec<ListenAddress>, BadOption> {
    match (listen, port) {
        ([], port) => {
            let port = port.map_or(Ok(DEFAULT_PORT), |port| number::parse("--port", port, 0, u16::MAX))?;
            Ok(vec![ListenAddress::Tcp((Ipv4Addr::LOCALHOST, port).into())])
        }
        (_, Some(_)) => Err(BadOption("--port and --listen exclude each other".to_owned())),
        (addresses, None) => addresses.iter().map(|address| parse("--listen", address)).collect(),
    }
}

/// Reads one address.
///
/// # Errors
/// When `value` is none; the error names `option`.
pub(super) fn parse(option: &str, value: &OsStr) -> Result<ListenAddress, BadOption> {
    if let Some(path) = value.as_bytes().strip_prefix(b"unix:").filter(|path| !path.is_empty()) {
        return Ok(ListenAddress::Unix(PathBuf::from(OsStr::from_bytes(path))));
    }
    let address = value.to_str().and_then(|value| value.parse().ok());
    address.map(ListenAddress::Tcp).ok_or_else(|| {
        BadOption(format!(
            "{option}: {value:?} is not an address like 127.0.0.1:12345, [::]:12345 or unix:/run/x.sock"
        ))
    })
}
