//! systemd's journal, in its native protocol: a datagram of fields, `NAME=value` and a line break each. No value has a line
//! break, as values are escaped.

use std::io;
use std::path::PathBuf;

use super::{Peer, Sink};
use crate::logging::record::{Entry, Value, severity, unquoted};

/// The program's name.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Begins the name of each field of our own.
const PREFIX: &str = "MODSECURITY_";

/// The journal.
pub(super) struct Journal(Peer);

impl Journal {
    /// The journal behind the socket `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Peer::new(path))
    }
}

fn datagram(entry: &Entry) -> String {
    let mut text = format!(
        "MESSAGE={}\nPRIORITY={}\nSYSLOG_IDENTIFIER={NAME}\nSYSLOG_FACILITY=3\n\
         {PREFIX}EVENT={}\n{PREFIX}TIME={}\n{PREFIX}MODULE={}\n",
        entry.text(),
        severity(entry.level),
        entry.event,
        entry.time(),
        entry.module,
    );
    for (key, value) in &entry.fields {
        text.push_str(PREFIX);
        text.extend(key.chars().map(|char| char.to_ascii_uppercase()));
        text.push('=');
        match value {
            Value::Quoted(quoted) => text.push_str(&unquoted(quoted)),
            other => text.push_str(&other.to_string()),
        }
        text.push('\n');
    }
    text
}

impl Sink for Journal {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.0.send(datagram(entry).as_bytes())
    }
}
