//! The certificates of TLS, read at the start and at each reload.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::settings::TlsFiles;

/// Why TLS cannot be had.
#[derive(Debug)]
pub(crate) enum TlsError {
    /// A file cannot be read, or has nothing in PEM of what it should have: which, and what.
    File(PathBuf, &'static str, pem::Error),
    /// The file has no certificate.
    Empty(PathBuf),
    /// The certificate and the key do not go together, or rustls cannot use them.
    Pair(PathBuf, PathBuf, rustls::Error),
    /// A certificate of an authority cannot be used.
    Authority(PathBuf, rustls::Error),
    /// Client certificates cannot be checked by these authorities.
    Verifier(PathBuf, VerifierBuilderError),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, what, cause) => {
                write!(f, "--tls: cannot read {what} from {}: {cause}", path.display())
            }
            Self::Empty(path) => write!(f, "--tls: {} has no certificate", path.display()),
            Self::Pair(certificate, key, cause) => {
                write!(f, "--tls: cannot use {} with {}: {cause}", certificate.display(), key.display())
            }
            Self::Authority(path, cause) => {
                write!(f, "--tls: cannot use a certificate of {}: {cause}", path.display())
            }
            Self::Verifier(path, cause) => {
                write!(f, "--tls: cannot check clients by {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(_, _, cause) => Some(cause),
            Self::Empty(_) => None,
            Self::Pair(_, _, cause) | Self::Authority(_, cause) => Some(cause),
            Self::Verifier(_, cause) => Some(cause),
        }
    }
}

/// Reads the files: TLS 1.2 and 1.3, and a client certificate if there is an authority for it.
///
/// # Errors
/// The first file that cannot be read or used.
pub(crate) fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|cause| TlsError::File(files.key.clone(), "a private key", cause))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let unusable = |cause| TlsError::Pair(files.certificate.clone(), files.key.clone(), cause);
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let authorities = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider).build();
            builder
                .with_client_cert_verifier(verifier.map_err(|cause| TlsError::Verifier(path.clone(), cause))?)
        }
    };
    builder.with_single_cert(chain, key).map(Arc::new).map_err(unusable)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |cause| TlsError::File(path.to_owned(), "certificates", cause);
    let all = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if all.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(all) }
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|cause| TlsError::Authority(path.to_owned(), cause))?;
    }
    Ok(store)
}
