//! Certificates that openssl(1) makes, and a client that uses them.

use super::PATIENCE;
use super::spop::Link;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

const SETTINGS: &str = "[req]\nprompt = no\ndistinguished_name = name\n[name]\nCN = test\n\
    [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign\n\
    [leaf]\nbasicConstraints = CA:FALSE\nsubjectAltName = IP:127.0.0.1, IP:::1, DNS:agent.test\n";

/// An authority, and a certificate and a key by it for a server and for a client.
pub struct Certificates(TempDir);

impl Default for Certificates {
    fn default() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("settings"), SETTINGS).unwrap();
        let made = Self(folder);
        made.make("ca", &["-extensions", "ca"]);
        let (ca, key) = (made.file("ca.pem"), made.file("ca.key"));
        for name in ["server", "client"] {
            made.make(name, &["-extensions", "leaf", "-CA", &ca, "-CAkey", &key]);
            // As HAProxy's `crt` has it.
            let both = ["pem", "key"].map(|end| fs::read(made.file(&format!("{name}.{end}"))).unwrap());
            fs::write(made.file(&format!("{name}.both")), both.concat()).unwrap();
        }
        made
    }
}

impl Certificates {
    /// The path of `ca.pem`, `server.pem`, `server.key`, `client.both` …
    pub fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make(&self, name: &str, more: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-days", "2", "-config", &self.file("settings")]);
        command.args(["-keyout", &self.file(&format!("{name}.key"))]);
        command.args(["-out", &self.file(&format!("{name}.pem"))]).args(more);
        let output = command.output().expect("cannot start openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The value of `--tls` for an agent that anybody may ask, or only who has a certificate of this authority.
    pub fn option(&self, asks_clients: bool) -> String {
        let client_ca =
            if asks_clients { format!(",client-ca={}", self.file("ca.pem")) } else { String::new() };
        format!("{},{}{client_ca}", self.file("server.pem"), self.file("server.key"))
    }

    /// Has the files of the server be those of another authority.
    pub fn replace_server(&self, other: &Self) {
        for name in ["server.pem", "server.key"] {
            fs::copy(other.path(name), self.path(name)).unwrap();
        }
    }

    /// A connection, which believes this authority, and shows the client's certificate of another if that is given. The
    /// handshake begins with the first byte.
    pub fn connect(&self, address: &str, own: Option<&Self>) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::pem_file_iter(own.path("client.pem")).unwrap();
                let key = PrivateKeyDer::from_pem_file(own.path("client.key")).unwrap();
                builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
        };
        let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        StreamOwned::new(session, stream)
    }

    /// A link inside TLS, after the SPOP handshake.
    pub fn link(&self, address: &str, own: Option<&Self>) -> Link {
        let mut link = Link::through(self.connect(address, own));
        link.shake_hands();
        link
    }
}
