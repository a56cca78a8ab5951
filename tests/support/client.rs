//! The HTTP client (curl, or bytes as they are), and what it gets back.

use super::PATIENCE;
use super::waiting::uninterrupted;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

/// A response, and what the agent said about its request.
#[derive(Debug, Default)]
pub struct Answer {
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: String,
    pub status: u16,
    pub body: String,
    pub verdict: Verdict,
}

/// The agent's variables, from the line that HAProxy logs about the request. A variable that is not set is none.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    pub code: Option<i64>,
    pub error: Option<String>,
    pub truncated: bool,
}

impl Verdict {
    /// Reads the end of a line of the deployed `log-format`.
    pub fn parse(line: &str) -> Self {
        let get = |name: &str| {
            let word =
                line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap();
            (word != "-").then(|| word.to_owned())
        };
        Self {
            code: get("modsec_code").map(|code| code.parse().unwrap()),
            error: get("modsec_error"),
            truncated: get("modsec_truncated").is_some_and(|word| word == "1"),
        }
    }
}

impl Answer {
    /// Checks that the request was inspected, found clean, and reached the application.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self:?}");
    }

    /// Whether the request was inspected, found clean, and reached the application.
    pub fn is_clean(&self) -> bool {
        let verdict = (self.verdict.code, self.verdict.error.as_deref());
        verdict == (Some(0), None) && (self.status, self.body.as_str()) == (200, "the application")
    }

    /// Checks that the request was inspected, denied with this status, and did not reach the application.
    #[track_caller]
    pub fn assert_denied_with(&self, code: i64) {
        assert!(self.is_denied_with(code), "{self:?}");
    }

    /// Whether the request was inspected, denied with this status, and did not reach the application.
    pub fn is_denied_with(&self, code: i64) -> bool {
        let verdict = (self.verdict.code, self.verdict.error.as_deref());
        let is_refusal = (400..500).contains(&self.status) && !self.body.contains("the application");
        verdict == (Some(code), None) && is_refusal
    }

    /// The same with 403, the status of the Core Rule Set.
    #[track_caller]
    pub fn assert_denied(&self) {
        self.assert_denied_with(403);
        assert_eq!(self.status, 403, "{self:?}");
    }

    fn parse(mut text: &str) -> Self {
        loop {
            let (head, body) =
                text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP response: {text:?}"));
            let (protocol, rest) = head.split_once(' ').unwrap();
            let status: u16 = rest[..3].parse().unwrap();
            if status >= 200 {
                let (protocol, body) = (protocol.to_owned(), body.to_owned());
                return Self { protocol, status, body, verdict: Verdict::default() };
            }
            text = body;
        }
    }
}

/// Runs curl. Gives the answer, and how the client's address begins in HAProxy's log.
pub fn curl(way: &[&str], target: &str, options: &[&str]) -> (Answer, String) {
    let mut command = Command::new("curl");
    // -q: not the developer's own settings. shop.test can never resolve, so nothing leaves the machine.
    command.args(["-q", "-sS", "-i", "--noproxy", "*", "--globoff", "--path-as-is", "--max-time", "30"]);
    command.args(["-w", "\\n%{local_ip} %{local_port}"]).args(way).args(options);
    let output = command.arg(format!("http://shop.test{target}")).output().expect("cannot start curl");
    assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (response, address) = text.rsplit_once('\n').unwrap();
    let client = match address.split_once(' ') {
        Some((ip, port)) if !ip.is_empty() && port != "0" => format!("{ip}:{port} "),
        _ => "unix:".to_owned(),
    };
    (Answer::parse(response), client)
}

/// Sends bytes as they are, made for the client's address, and reads one response. Gives it, and that address.
pub fn raw(server: SocketAddr, request: impl Fn(SocketAddr) -> Vec<u8>) -> (Answer, SocketAddr) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = stream.local_addr().unwrap();
    stream.write_all(&request(client)).unwrap();
    (read_response(&mut stream), client)
}

/// Reads one response with a Content-Length and leaves the connection as it is.
pub fn read_response(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    while !complete(&bytes) {
        let mut buffer = [0; 4096];
        match uninterrupted(|| stream.read(&mut buffer)) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    Answer::parse(&String::from_utf8_lossy(&bytes))
}

fn complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}
