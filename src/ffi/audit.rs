//! What an engine says of the audit record of a transaction, after the logging phase.

use std::path::PathBuf;

/// An audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditRecord {
    /// The transaction has none: the rules or the settings do not want it.
    None,
    /// It was to be appended to the file of `SecAuditLog`.
    Appended,
    /// It was to be a file of its own, and a line of `SecAuditLog`.
    Own(PathBuf),
    /// The engine says why it could not write it.
    Lost(String),
}
