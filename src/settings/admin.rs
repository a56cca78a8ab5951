//! `--admin`: where metrics, health and the page are.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::BadOption;

/// An address that only this machine reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A loopback address and a port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Checks the address.
///
/// # Errors
/// When it is none, or one that other machines reach: what is there is for the operator alone, and has no password.
pub(super) fn parse(value: Option<&OsStr>) -> Result<Option<AdminAddress>, BadOption> {
    let Some(value) = value else { return Ok(None) };
    if let Some(path) = value.as_bytes().strip_prefix(b"unix:").filter(|path| !path.is_empty()) {
        return Ok(Some(AdminAddress::Unix(PathBuf::from(OsStr::from_bytes(path)))));
    }
    let address: Option<SocketAddr> = value.to_str().and_then(|value| value.parse().ok());
    match address {
        Some(address) if address.ip().is_loopback() => Ok(Some(AdminAddress::Tcp(address))),
        Some(_) => Err(BadOption(format!(
            "--admin: {value:?} is not a loopback address, and it has no password: use 127.0.0.1 or unix:/path, and a \
            proxy that asks for one"
        ))),
        None => Err(BadOption(format!(
            "--admin: {value:?} is not an address like 127.0.0.1:9273, [::1]:9273 or unix:/run/admin.sock"
        ))),
    }
}
