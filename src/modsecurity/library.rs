//! What a version of ModSecurity is to the rest of the program: a library that rules are loaded into, and that
//! transactions go through.

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ffi::intervention::Intervention;
use crate::ffi::matches::Matches;
use crate::ffi::rules::RuleSettings;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::modsecurity::error::{InspectionError, LoadError};
use crate::rules::version::EngineVersion;

/// A library with the rules of one application.
pub trait Library: Send + Sync + Sized + 'static {
    /// Which it is.
    const VERSION: EngineVersion;

    /// One request's way through it, and its response's.
    type Transaction: Transaction;

    /// What the transactions of one thread share.
    type Memory;

    /// The settings that apply without `-f`.
    const DEFAULT_SETTINGS: &str;

    /// Loads directives and then files, as one configuration: the last word counts.
    fn load(directives: &str, files: &[PathBuf]) -> Result<Self, LoadError>;

    /// Some settings, and the ids of the rules of all phases, 0 for one without.
    fn contents(&self) -> Result<(RuleSettings, Vec<i64>), String>;

    /// Readies this process, and this thread, for transactions. In a process of its own: after the fork.
    fn prepare(&self) -> Result<Self::Memory, String>;

    /// Begins a transaction with this id.
    fn begin(
        self: &Arc<Self>,
        memory: &Self::Memory,
        id: &[u8],
    ) -> Result<Self::Transaction, InspectionError>;
}

/// A transaction. After an error only logging and dropping make sense.
pub trait Transaction {
    /// Takes the request through its phases until one intervenes.
    fn request(&mut self, request: &Request) -> Result<Option<Intervention>, InspectionError>;

    /// The phases of a request that nobody has, so that a response can follow: they run the rules that set variables.
    fn placeholder_request(&mut self) -> Result<(), InspectionError>;

    /// Takes the response through its phases until one intervenes.
    fn response(&mut self, response: &Response) -> Result<Inspected, InspectionError>;

    /// The logging phase, which runs whatever the others found; with the status of a denial.
    fn log(&mut self, denied: Option<u16>) -> Result<(), InspectionError>;

    /// What matched so far, without the first `skip` matches.
    fn matches(&self, skip: usize) -> Result<Matches, InspectionError>;

    /// The number in `TX:name`, if there is one.
    fn tx_number(&mut self, name: &CStr) -> Option<i64>;
}

/// A response after its phases.
#[derive(Debug, Default)]
pub struct Inspected {
    /// What to do instead of letting it through.
    pub intervention: Option<Intervention>,
    /// The body, if rules have rewritten it.
    pub rewritten: Option<Vec<u8>>,
}

/// The address as rules see it where there is none: a client on a Unix socket. No rule that trusts an address matches it,
/// unlike 127.0.0.1.
pub(super) const UNKNOWN_ADDRESS: &str = "0.0.0.0";

/// The headers of a request that nobody has: what rules would miss first.
pub(super) const PLACEHOLDER_HEADERS: [(&str, &str); 3] =
    [("Host", "unknown"), ("User-Agent", "unknown"), ("Accept", "*/*")];
