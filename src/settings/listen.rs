//! `--listen` and `--port`: where to listen.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid};

use super::process::find_group;
use super::{BadOption, number};
use crate::isolation::process::sandbox::Ids;

/// The port when neither `--port` nor `--listen` is given.
const DEFAULT_PORT: u16 = 12345;

/// The mode of a Unix socket without `mode=`: its user and its group may connect.
const DEFAULT_MODE: u32 = 0o660;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(UnixAddress),
}

/// A Unix socket to listen on, and who may connect to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixAddress {
    /// The path of its file.
    pub path: PathBuf,
    /// The mode of the file, up to 0o777.
    pub mode: u32,
    /// The file's owner; `None`: the user that binds it.
    pub user: Option<Uid>,
    /// The file's group; `None`: that of the process that binds it.
    pub group: Option<Gid>,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(UnixAddress { path, .. }) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What an address of `--listen` may begin with to be a Unix socket: the agent's form, and HAProxy's.
const UNIX: [&[u8]; 2] = [b"unix:", b"unix@"];

/// What may follow the path of a Unix socket. A list in the environment is cut at its commas, and an item that begins with
/// one of these belongs to the address before it.
pub(super) const ATTRIBUTES: [&str; 3] = ["mode=", "user=", "group="];

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

/// Returns the address of `--agent-check`, to which HAProxy can connect over TCP alone.
///
/// # Errors
/// When it is no IP address with a port.
pub(super) fn agent_check(value: Option<&str>) -> Result<Option<ListenAddress>, BadOption> {
    let parse = |value: &str| {
        value.parse().map(ListenAddress::Tcp).map_err(|_| {
            BadOption(format!(
                "--agent-check: {value:?} is not an address like 127.0.0.1:12346 or [::]:12346"
            ))
        })
    };
    value.map(parse).transpose()
}

/// Reads one address.
///
/// # Errors
/// When `value` is none; the error names `option`.
pub(super) fn parse(option: &str, value: &OsStr) -> Result<ListenAddress, BadOption> {
    if let Some(socket) = UNIX.iter().find_map(|form| value.as_bytes().strip_prefix(*form)) {
        let parsed = parse_unix(socket).map_err(|cause| BadOption(format!("{option}: {value:?}: {cause}")));
        return parsed.map(ListenAddress::Unix);
    }
    let address = value.to_str().and_then(|value| value.parse().ok());
    address.map(ListenAddress::Tcp).ok_or_else(|| {
        BadOption(format!(
            "{option}: {value:?} is not an address like 127.0.0.1:12345, [::]:12345 or unix:/run/x.sock"
        ))
    })
}

/// Reads the path of a Unix socket and what follows it.
fn parse_unix(socket: &[u8]) -> Result<UnixAddress, String> {
    let mut parts = socket.split(|&byte| byte == b',').map(OsStr::from_bytes);
    let path = parts.next().filter(|path| !path.is_empty()).ok_or("it names no file")?;
    let mut address = UnixAddress { path: path.into(), mode: DEFAULT_MODE, user: None, group: None };
    for part in parts {
        match part.to_str().and_then(|part| part.split_once('=')) {
            Some(("mode", mode)) => address.mode = parse_mode(mode)?,
            Some(("user", name)) => {
                let user = Ids::find(name).ok_or_else(|| format!("there is no user {name:?}"))?;
                address.user = Some(user.user);
            }
            Some(("group", name)) => {
                let group = find_group(name).ok_or_else(|| format!("there is no group {name:?}"))?;
                address.group = Some(group);
            }
            _ => return Err(format!("{part:?} is neither mode=, user= nor group=")),
        }
    }
    Ok(address)
}

/// Reads a mode in octal digits.
fn parse_mode(mode: &str) -> Result<u32, String> {
    let is_octal = !mode.is_empty() && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let parsed = u32::from_str_radix(mode, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    parsed.ok_or_else(|| format!("{mode:?} is no mode like 660"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_socket_says_who_may_connect() {
        let parsed = |value: &str| parse("--listen", OsStr::new(value));
        let plain = UnixAddress { path: "/run/x".into(), mode: 0o660, user: None, group: None };
        assert_eq!(parsed("unix:/run/x"), Ok(ListenAddress::Unix(plain.clone())));
        assert_eq!(parsed("unix@/run/x"), Ok(ListenAddress::Unix(plain.clone())));
        let (user, group) = (Some(Uid::from_raw(0)), Some(Gid::from_raw(7)));
        let shared = UnixAddress { mode: 0o606, user, group, ..plain };
        assert_eq!(parsed("unix:/run/x,mode=606,user=root,group=7"), Ok(ListenAddress::Unix(shared)));
        for bad in ["mode=", "mode=8", "mode=1777", "mode=+66", "mod=660", "user=no such user", "group=", ""]
        {
            assert!(parsed(&format!("unix:/run/x,{bad}")).is_err(), "{bad}");
        }
        for bad in ["unix:", "unix@", "unix:,mode=660", "127.0.0.1:0,mode=660"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
