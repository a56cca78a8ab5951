//! A syslog daemon on a datagram socket (RFC 5424): facility daemon, the event's name as MSGID, its keys as structured data,
//! and sentence and keys as the message, for daemons that keep only that.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use nix::unistd::gethostname;

use super::{Peer, Sink};
use crate::logging::record::{Entry, Value, severity, unquoted};

/// The facility of daemons (RFC 5424, section 6.2.1).
const DAEMON: u8 = 3;

/// The program's name, at most 48 characters.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The name of the structured data. A name without a number would need to be registered; this number is set aside for
/// examples and local use.
const FIELDS: &str = "modsecurity@32473";

/// The longest MSGID (RFC 5424, section 6).
const MAX_ID: usize = 32;

/// The longest HOSTNAME.
const MAX_HOST: usize = 255;

/// A syslog daemon.
pub(super) struct Syslog {
    peer: Peer,
    host: String,
    process: u32,
}

impl Syslog {
    /// The daemon behind the socket `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        let host = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        let host: String = host.chars().filter(char::is_ascii_graphic).take(MAX_HOST).collect();
        let host = if host.is_empty() { "-".to_owned() } else { host };
        Self { peer: Peer::new(path), host, process: std::process::id() }
    }

    fn datagram(&self, entry: &Entry) -> String {
        let priority = DAEMON * 8 + severity(entry.level);
        let event: String = entry.event.chars().take(MAX_ID).collect();
        let (time, host, process) = (entry.time(), &self.host, self.process);
        let mut text = format!("<{priority}>1 {time} {host} {NAME} {process} {event} [{FIELDS}");
        let module = ("module", Value::Text(entry.module.to_owned()));
        for (key, value) in entry.fields.iter().chain([&module]) {
            let value = match value {
                Value::Quoted(text) => unquoted(text).into_owned(),
                other => other.to_string(),
            };
            // Writing to a string has no errors.
            let _ = write!(text, " {key}=\"");
            for char in value.chars() {
                if matches!(char, '"' | '\\' | ']') {
                    text.push('\\');
                }
                text.push(char);
            }
            text.push('"');
        }
        // The byte order mark says that the message is UTF-8; daemons show it, so it is left out where ASCII is enough.
        let message = entry.text();
        text.push_str(if message.is_ascii() { "] " } else { "] \u{feff}" });
        text.push_str(&message);
        text
    }
}

impl Sink for Syslog {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.peer.send(self.datagram(entry).as_bytes())
    }
}
