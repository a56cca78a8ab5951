//! One record of the log with owned, typed values, as the threads that write it have it.
//!
//! Strings are escaped here, once for all targets: whatever a peer sends can neither end a line nor steer a terminal.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use slog::{KV, Key, Level, OwnedKVList, Record, Serializer};

/// The key whose text is a list of rules' ids, separated by commas.
const RULES: &str = "rules";

/// The name of an event that the code gives none.
const UNNAMED: &str = "other";

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    /// The ids of rules.
    Ids(Vec<i64>),
    /// Text without control characters.
    Text(String),
    /// Text without control characters that is quoted and escaped, as everything is that a peer can choose.
    Quoted(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => number.fmt(f),
            Self::Signed(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Ids(ids) => ids.iter().enumerate().try_for_each(|(index, id)| match index {
                0 => write!(f, "{id}"),
                _ => write!(f, ",{id}"),
            }),
            Self::Text(text) | Self::Quoted(text) => f.write_str(text),
        }
    }
}

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    time: SystemTime,
    pub(super) level: Level,
    /// The stable name of the event.
    pub(super) event: String,
    /// The part of the program that logs: `agent::verdict_log`.
    pub(super) module: &'static str,
    /// The sentence.
    pub(super) message: String,
    /// In the order in which they are written; each key once.
    pub(super) fields: Vec<(Key, Value)>,
}

impl Entry {
    /// The record, as it is at this moment.
    pub(super) fn of(record: &Record<'_>, values: &OwnedKVList) -> Self {
        let mut fields = Fields(Vec::new());
        // The serializer below has no errors. slog gives the last pair first.
        let _ = record.kv().serialize(record, &mut fields);
        let _ = values.serialize(record, &mut fields);
        fields.0.reverse();
        let event = if record.tag().is_empty() { UNNAMED } else { record.tag() };
        Self {
            time: SystemTime::now(),
            level: record.level(),
            event: event.to_owned(),
            module: module(record.module()),
            message: escaped(record.msg().to_string()),
            fields: fields.0,
        }
    }

    /// Time with zone (RFC 3339, in UTC), to the millisecond.
    pub(super) fn time(&self) -> String {
        DateTime::<Utc>::from(self.time).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }

    /// The sentence and all keys, as one text: `worker started, worker: 1, event: worker_started`.
    pub(super) fn text(&self) -> String {
        let mut text = self.message.clone();
        for (key, value) in &self.fields {
            // Writing to a string has no errors.
            let _ = write!(text, ", {key}: {value}");
        }
        let _ = write!(text, ", event: {}", self.event);
        text
    }
}

/// The name of a level in lower case, as options and JSON have it.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Critical | Level::Error => "error",
        Level::Warning => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

/// The severity of a level in syslog and the journal.
pub(super) fn severity(level: Level) -> u8 {
    match level {
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// The module without the name of this crate: `agent::verdict_log`, and `actors::pool` of the crate below it.
pub(super) fn module(path: &'static str) -> &'static str {
    path.strip_prefix("modsecurity_spoa::").unwrap_or(path)
}

/// A quoted text without its quotes: `"a\"b"` is `a"b`. Other escapes stay as they are, so that a backslash of the peer is
/// always two.
pub(super) fn unquoted(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"') else { return Cow::Borrowed(text) };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                // What follows is the number of bytes that were cut.
                plain.push_str(chars.as_str());
                break;
            }
            '\\' => match chars.next() {
                Some('"') => plain.push('"'),
                Some(other) => plain.extend(['\\', other]),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

/// The text with control characters, and those that change the direction of text, as escapes.
fn escaped(text: String) -> String {
    let is_harmful = |char: char| {
        char.is_control()
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_harmful) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match is_harmful(char) {
            true => safe.extend(char.escape_default()),
            false => safe.push(char),
        }
    }
    safe
}

/// Collects pairs in the order in which slog gives them, the last one first. Of two pairs with the same key, the last
/// one counts.
struct Fields(Vec<(Key, Value)>);

impl Fields {
    fn push(&mut self, key: Key, value: Value) -> slog::Result {
        if self.0.iter().all(|(known, _)| *known != key) {
            self.0.push((key, value));
        }
        Ok(())
    }

    fn text(&mut self, key: Key, text: String) -> slog::Result {
        let text = escaped(text);
        let value = match text.starts_with('"') {
            true => Value::Quoted(text),
            false => Value::Text(text),
        };
        self.push(key, value)
    }
}

macro_rules! numbers {
    ($($name:ident: $from:ty => $kind:ident($to:ty),)*) => {
        $(fn $name(&mut self, key: Key, value: $from) -> slog::Result {
            self.push(key, Value::$kind(<$to>::from(value)))
        })*
    };
}

impl Serializer for Fields {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.text(key, value.to_string())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        let ids = || value.split(',').map(|id| id.parse().ok()).collect::<Option<Vec<_>>>();
        match if key == RULES { ids() } else { None } {
            Some(ids) => self.push(key, Value::Ids(ids)),
            // Its quotes, if any, are its own.
            None => self.push(key, Value::Text(escaped(value.to_owned()))),
        }
    }

    numbers! {
        emit_u8: u8 => Unsigned(u64),
        emit_u16: u16 => Unsigned(u64),
        emit_u32: u32 => Unsigned(u64),
        emit_u64: u64 => Unsigned(u64),
        emit_i8: i8 => Signed(i64),
        emit_i16: i16 => Signed(i64),
        emit_i32: i32 => Signed(i64),
        emit_i64: i64 => Signed(i64),
        emit_f32: f32 => Float(f64),
        emit_f64: f64 => Float(f64),
        emit_bool: bool => Bool(bool),
    }

    fn emit_usize(&mut self, key: Key, value: usize) -> slog::Result {
        self.push(key, Value::Unsigned(value as u64))
    }

    fn emit_isize(&mut self, key: Key, value: isize) -> slog::Result {
        self.push(key, Value::Signed(value as i64))
    }
}

#[cfg(test)]
mod tests {
    use slog::{b, o, record};

    use super::*;

    #[test]
    fn values_keep_their_types_and_their_order() {
        let values = OwnedKVList::from(o!("worker" => 3_usize));
        let text = format_args!("request\ndenied");
        let uri = r#""/a\"\\x""#;
        let entry = Entry::of(
            &record!(
                Level::Info,
                "request_denied",
                &text,
                b!("status" => 403_u16, "rules" => "9,10", "uri" => %uri, "worker" => -1)
            ),
            &values,
        );
        let expected = [
            ("status", Value::Unsigned(403)),
            ("rules", Value::Ids(vec![9, 10])),
            ("uri", Value::Quoted("\"/a\\\"\\\\x\"".to_owned())),
            ("worker", Value::Signed(-1)),
        ];
        assert_eq!(entry.fields, expected);
        assert_eq!(
            entry.text(),
            "request\\ndenied, status: 403, rules: 9,10, uri: \"/a\\\"\\\\x\", worker: -1, event: request_denied"
        );
    }

    #[test]
    fn no_text_steers_a_terminal() {
        assert_eq!(escaped("a\u{1b}[2J\u{85}\u{202e}é".to_owned()), "a\\u{1b}[2J\\u{85}\\u{202e}é");
    }

    #[test]
    fn quotes_go_and_backslashes_stay_two() {
        for (quoted, plain) in [
            (r#""/a""#, "/a"),
            (r#""a\"b\\c\x1b""#, r#"a"b\\c\x1b"#),
            (r#""aaa"… and 7 more bytes"#, "aaa… and 7 more bytes"),
            ("plain", "plain"),
        ] {
            assert_eq!(unquoted(quoted), plain);
        }
    }
}
