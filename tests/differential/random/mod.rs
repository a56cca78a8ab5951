//! Random requests for tests/differential: what they are, how the agent is asked about one, and the engine itself.

pub mod body;
pub mod direct;
pub mod fingerprints;
pub mod generate;
pub mod mutate;
pub mod rng;
pub mod shrink;
pub mod words;

use super::support::spop::{EIGHT, Message, TWELVE};
use super::support::wire::{Value, sized, text};
use std::net::IpAddr;

/// How HAProxy's configuration hands the request over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// By name.
    Named,
    /// The C daemon's eight arguments, which have no addresses.
    Eight,
    /// Its fork's twelve.
    Twelve,
}

/// One request as a client means it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub form: Form,
    /// As `req.hdrs` instead of `req.hdrs_bin`.
    pub header_lines: bool,
    pub client: IpAddr,
    pub client_port: u16,
    pub method: Vec<u8>,
    /// None where HAProxy finds no path: `OPTIONS *` and `CONNECT host`.
    pub path: Option<Vec<u8>>,
    pub query: Option<Vec<u8>>,
    pub version: &'static str,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// What HAProxy has of the body …
    pub body: Vec<u8>,
    /// … and how many more bytes it says that the body has.
    pub missing: usize,
}

/// Where the client connected to, in every request.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 80], 8080);

impl Request {
    /// The message that HAProxy sends.
    pub fn message(&self, id: &str) -> Message {
        let bytes =
            |part: &Option<Vec<u8>>| part.as_ref().map_or(Value::Null, |part| Value::Text(part.clone()));
        let client = match self.client {
            IpAddr::V4(address) => Value::Ipv4(address.octets()),
            IpAddr::V6(address) => Value::Ipv6(address.octets()),
        };
        let message = Message::new(vec![
            ("unique-id", text(id)),
            ("src-ip", client),
            ("src-port", Value::Int64(self.client_port.into())),
            ("dst-ip", Value::Ipv4(SERVER.0)),
            ("dst-port", Value::Int64(SERVER.1.into())),
            ("method", Value::Text(self.method.clone())),
            ("path", bytes(&self.path)),
            ("query", bytes(&self.query)),
            ("version", text(self.version)),
            ("headers", if self.header_lines { self.lines() } else { self.binary() }),
            ("body-size", Value::Int64((self.body.len() + self.missing) as i64)),
            ("body", Value::Binary(self.body.clone())),
        ]);
        match self.form {
            Form::Named => message,
            Form::Eight => message.unnamed(&EIGHT),
            Form::Twelve => message.unnamed(&TWELVE),
        }
    }

    fn binary(&self) -> Value {
        let mut out = Vec::new();
        for part in self.headers.iter().flat_map(|(name, value)| [name, value]) {
            sized(&mut out, part);
        }
        out.extend_from_slice(&[0, 0]);
        Value::Binary(out)
    }

    fn lines(&self) -> Value {
        let lines = self.headers.iter().map(|(name, value)| [name, &b": "[..], value, b"\r\n"].concat());
        Value::Text([lines.collect::<Vec<_>>().concat(), b"\r\n".to_vec()].concat())
    }

    /// What the engine is to be told directly, for the program direct.cc; `marked`: as a request whose body was cut.
    pub fn netstrings(&self, id: &str, marked: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |text: &[u8]| {
            out.extend_from_slice(format!("{}:", text.len()).as_bytes());
            out.extend_from_slice(text);
            out.push(b',');
        };
        put(id.as_bytes());
        // An address that the message does not have is 0.0.0.0 to rules: no rule that trusts an address matches it.
        let known = self.form != Form::Eight;
        let server = IpAddr::from(SERVER.0);
        for (address, port) in [(self.client, self.client_port), (server, SERVER.1)] {
            put(if known { address.to_string() } else { "0.0.0.0".to_owned() }.as_bytes());
            put(if known { port.to_string() } else { "0".to_owned() }.as_bytes());
        }
        put(&self.uri());
        put(&self.method);
        put(self.version.as_bytes());
        put(if marked { b"1" } else { b"0" });
        put(&self.body);
        put(self.headers.len().to_string().as_bytes());
        for (name, value) in &self.headers {
            put(name);
            put(value);
        }
        out
    }

    /// The target of the request line, as it was before HAProxy took it apart.
    fn uri(&self) -> Vec<u8> {
        match (&self.path, &self.query) {
            (Some(path), None) => path.clone(),
            (Some(path), Some(query)) => [path, &b"?"[..], query].concat(),
            (None, _) if self.method == b"CONNECT" => {
                let host = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
                host.map(|(_, value)| value.clone()).unwrap_or_default()
            }
            (None, _) => b"*".to_vec(),
        }
    }

    /// Whether the path has an escaped question mark.
    pub fn has_escaped_question_mark(&self) -> bool {
        let uri = self.uri();
        let path = uri.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap();
        path.windows(3).any(|escape| escape.eq_ignore_ascii_case(b"%3f"))
    }

    /// Whether the agent may put an ending to its body when that was cut: to all that the engine parses, and to a form that
    /// ends in an escape.
    pub fn may_get_an_ending(&self) -> bool {
        let mut kinds = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
        let is_escape = matches!(self.body[..], [.., b'%'] | [.., b'%', _]);
        kinds.any(|(_, kind)| {
            let kind = String::from_utf8_lossy(kind).to_ascii_lowercase();
            ["multipart/", "json", "xml"].iter().any(|word| kind.contains(word))
                || kind.contains("urlencoded") && is_escape
        })
    }

    /// Whether the agent refuses it (`error` = `invalid`) instead of inspecting something else than was sent: the engine
    /// takes method and URI as C strings, which end at a zero byte.
    pub fn is_refused(&self) -> bool {
        self.method.is_empty() || self.method.contains(&0) || self.uri().contains(&0)
    }

    /// Whether HAProxy says that there is more of the body than it sends.
    pub fn is_cut(&self) -> bool {
        self.missing > 0
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { form, header_lines, client, client_port, version, missing, .. } = self;
        let path = self.path.as_ref().map(|path| path.escape_ascii().to_string());
        let query = self.query.as_ref().map(|query| query.escape_ascii().to_string());
        writeln!(f, "form {form:?}, headers as lines {header_lines}, client {client}:{client_port}")?;
        writeln!(
            f,
            "method b\"{}\" path {path:?} query {query:?} version {version}",
            self.method.escape_ascii()
        )?;
        for (name, value) in &self.headers {
            writeln!(f, "header b\"{}\": b\"{}\"", name.escape_ascii(), value.escape_ascii())?;
        }
        write!(f, "body b\"{}\" and {missing} bytes missing", self.body.escape_ascii())
    }
}
