//! A record as a line of text: `2026-11-25T00:06:23.245Z INFO worker started, worker: 1, event: worker_started`.

use crate::logging::record::Entry;

/// The line of a record.
pub(super) fn line(entry: &Entry) -> Vec<u8> {
    format!("{} {} {}\n", entry.time(), entry.level.as_short_str(), entry.text()).into_bytes()
}
