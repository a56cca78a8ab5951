//! The two traits that a version of ModSecurity implements: a library that rules are loaded into, and a transaction
//! that takes a request and its response through the phases.

use std::collections::HashMap;
use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ffi::audit::AuditRecord;
use crate::ffi::intervention::Intervention;
use crate::ffi::matches::Matches;
use crate::ffi::rules::RuleSettings;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::modsecurity::error::{InspectionError, LibraryError, LoadError};
use crate::rules::version::EngineVersion;

/// A library with the rules of one application.
pub trait Library: Send + Sync + Sized + 'static {
    /// The version of ModSecurity.
    const VERSION: EngineVersion;

    /// A request and its response on their way through the phases.
    type Transaction: Transaction;

    /// The memory that the transactions of one thread share; it must outlive them.
    type Memory;

    /// The directives that apply without `-f`, before the Core Rule Set.
    const DEFAULT_SETTINGS: &str;

    /// The rules that apply without `-f`, behind the Core Rule Set.
    const LAST_RULES: &str;

    /// Loads directives, files and more directives as one configuration: a later setting replaces an earlier one.
    ///
    /// # Errors
    /// When a file cannot be handed to the library, or the library refuses what it read.
    fn load(first: &str, files: &[PathBuf], last: &str) -> Result<Self, LoadError>;

    /// Takes the tags, separated by commas, of rules with the action `multiMatch`, by their ids.
    fn set_tags(&mut self, _tags: HashMap<i64, Vec<u8>>) {}

    /// Returns the settings that the program looks at, and the ids of the rules of all phases, 0 for one without.
    ///
    /// # Errors
    /// When the library fails to list them.
    fn contents(&self) -> Result<(RuleSettings, Vec<i64>), LibraryError>;

    /// Readies this process and this thread for transactions. An engine process calls it after the fork, so that no two
    /// processes draw the same random numbers.
    ///
    /// # Errors
    /// When the library has no memory.
    fn prepare(&self) -> Result<Self::Memory, LibraryError>;

    /// Gives memory that finished transactions have freed back to the system.
    fn release_memory();

    /// Begins a transaction with this id.
    ///
    /// # Errors
    /// When the id has a zero byte, or the library fails.
    fn begin(
        self: &Arc<Self>,
        memory: &Self::Memory,
        id: &[u8],
    ) -> Result<Self::Transaction, InspectionError>;
}

/// A transaction. Its calls go in the order of the phases. After an error, only [`Transaction::log`] and dropping are
/// of use.
pub trait Transaction {
    /// Takes the request through its phases until one intervenes.
    ///
    /// # Errors
    /// When the library gives up on the request, or cannot take a part of it: a zero byte, where it works with C
    /// strings.
    fn request(&mut self, request: &Request) -> Result<Option<Intervention>, InspectionError>;

    /// Takes a placeholder through the phases of a request, for a response whose request is not parked: rules of the
    /// response phases read variables that rules of the request phases set.
    ///
    /// # Errors
    /// When the library gives up.
    fn placeholder_request(&mut self) -> Result<(), InspectionError>;

    /// Takes the response through its phases until one intervenes.
    ///
    /// # Errors
    /// When the library gives up on the response, or cannot take a part of it.
    fn response(&mut self, response: &Response) -> Result<Inspected, InspectionError>;

    /// Runs the logging phase, whatever the other phases found. `denied` is the status of a denial, for the audit log.
    ///
    /// # Errors
    /// When the library fails to log.
    fn log(&mut self, denied: Option<u16>) -> Result<AuditRecord, InspectionError>;

    /// Returns the matches up to now, without the first `skip`.
    ///
    /// # Errors
    /// When the library fails to list them.
    fn matches(&self, skip: usize) -> Result<Matches, InspectionError>;

    /// Returns the number in `TX:name`; `None` when the variable does not exist or is no number.
    fn tx_number(&mut self, name: &CStr) -> Option<i64>;
}

/// The result of a response's phases.
#[derive(Debug, Default)]
pub struct Inspected {
    /// The intervention of a rule; `None` when the response may pass.
    pub intervention: Option<Intervention>,
    /// The body that the client is to get instead, if rules have rewritten it.
    pub rewritten: Option<Vec<u8>>,
}

/// The address that rules see for a client without one, on a Unix socket. Rules that trust 127.0.0.1 do not trust it.
pub(super) const UNKNOWN_ADDRESS: &str = "0.0.0.0";

/// The headers of a placeholder request: those whose absence the Core Rule Set would report.
pub(super) const PLACEHOLDER_HEADERS: [(&str, &str); 3] =
    [("Host", "unknown"), ("User-Agent", "unknown"), ("Accept", "*/*")];
