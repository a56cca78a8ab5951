//! Standard error. A terminal gets colours (slog-term). Anything else gets each line in one write, so that other writers to
//! the same file cannot split the line.

use std::io::{self, IsTerminal, Stderr};

use slog::{OwnedKVList, Record, b, o, record_static};
use slog_term::{Decorator, TermDecorator};

use super::{Format, Sink, json, text};
use crate::logging::lines::Lines;
use crate::logging::record::Entry;

/// Standard error, for people.
pub(super) fn text() -> Box<dyn Sink> {
    match io::stderr().is_terminal() {
        true => Box::new(Terminal(TermDecorator::new().stderr().build())),
        false => Box::new(Plain { lines: Lines::new(io::stderr()), format: text::line }),
    }
}

/// Standard error, for programs.
pub(super) fn json() -> Box<dyn Sink> {
    Box::new(Plain { lines: Lines::new(io::stderr()), format: json::line })
}

struct Plain {
    lines: Lines<Stderr>,
    format: Format,
}

impl Sink for Plain {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.lines.write(&(self.format)(entry))
    }
}

struct Terminal(TermDecorator);

impl Sink for Terminal {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        // The decorator takes the colour from the record's level, and nothing else from the record.
        let level = record_static!(entry.level, "");
        self.0.with_record(&Record::new(&level, &format_args!(""), b!()), &OwnedKVList::from(o!()), |out| {
            out.start_timestamp()?;
            write!(out, "{}", entry.time())?;
            out.start_whitespace()?;
            write!(out, " ")?;
            out.start_level()?;
            write!(out, "{}", entry.level.as_short_str())?;
            out.start_whitespace()?;
            write!(out, " ")?;
            out.start_msg()?;
            write!(out, "{}", entry.message)?;
            let event = ("event", entry.event.to_string());
            let fields = entry.fields.iter().map(|(key, value)| (*key, value.to_string()));
            for (key, value) in fields.chain([event]) {
                out.start_comma()?;
                write!(out, ", ")?;
                out.start_key()?;
                write!(out, "{key}")?;
                out.start_separator()?;
                write!(out, ": ")?;
                out.start_value()?;
                write!(out, "{value}")?;
            }
            out.start_whitespace()?;
            writeln!(out)?;
            out.flush()
        })
    }
}
