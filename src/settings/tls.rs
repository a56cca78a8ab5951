//! `--tls`: the files of TLS, as `CERT,KEY` and then perhaps `client-ca=CA`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::BadOption;

/// The files of TLS, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the agent, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of client certificates; with them, links without such a certificate are refused.
    pub client_ca: Option<PathBuf>,
}

/// Reads the value of `--tls`.
///
/// # Errors
/// When it is not of that form.
pub(super) fn parse(value: &OsStr) -> Result<TlsFiles, BadOption> {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let parts: Vec<_> = value.as_bytes().split(|&byte| byte == b',').collect();
    let (certificate, key, client_ca) = match *parts.as_slice() {
        [certificate, key] => (certificate, key, None),
        [certificate, key, third] => {
            (certificate, key, Some(third.strip_prefix(b"client-ca=").unwrap_or_default()))
        }
        _ => (&[][..], &[][..], None),
    };
    if [Some(certificate), Some(key), client_ca].into_iter().flatten().any(<[u8]>::is_empty) {
        return Err(BadOption(format!("--tls: {value:?} is not CERT,KEY or CERT,KEY,client-ca=CA")));
    }
    Ok(TlsFiles { certificate: path(certificate), key: path(key), client_ca: client_ca.map(path) })
}
