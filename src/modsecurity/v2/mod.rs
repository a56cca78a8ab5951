//! ModSecurity 2.9 behind the two traits. `request.rs` says which calls make up the phases of a request, and why they
//! are in this order.

mod load;
mod request;

use std::ffi::CStr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use crate::ffi::audit::AuditRecord;
use crate::ffi::intervention::Intervention;
use crate::ffi::matches::Matches;
use crate::ffi::rules::RuleSettings;
use crate::ffi::v2::{self, Arena, Error, Ruleset};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::modsecurity::error::{InspectionError, LibraryError, LoadError};
use crate::modsecurity::library::{Inspected, Library, Transaction};
use crate::rules::version::EngineVersion;

impl Library for Ruleset {
    const VERSION: EngineVersion = EngineVersion::V2;

    type Transaction = v2::Transaction;

    type Memory = Rc<Arena>;

    const DEFAULT_SETTINGS: &str = concat!(include_str!("../default.conf"), include_str!("default.conf"));

    const LAST_RULES: &str = include_str!("last.conf");

    fn load(first: &str, files: &[PathBuf], last: &str) -> Result<Self, LoadError> {
        load::load(first, files, last)
    }

    fn contents(&self) -> Result<(RuleSettings, Vec<i64>), LibraryError> {
        Ok((self.settings(), self.loaded()))
    }

    fn prepare(&self) -> Result<Rc<Arena>, LibraryError> {
        // modsecInitProcess, after the fork and before the process's first transaction, as in a child process of
        // Apache.
        self.begin_process();
        Ok(Arena::new(self)?)
    }

    fn release_memory() {
        // The arena does it by itself.
    }

    fn begin(self: &Arc<Self>, memory: &Rc<Arena>, id: &[u8]) -> Result<v2::Transaction, InspectionError> {
        v2::Transaction::new(Rc::clone(memory), Arc::clone(self), id).map_err(failed)
    }
}

impl Transaction for v2::Transaction {
    fn request(&mut self, request: &Request) -> Result<Option<Intervention>, InspectionError> {
        request::phases(self, request)
    }

    fn placeholder_request(&mut self) -> Result<(), InspectionError> {
        request::placeholder_request(self)
    }

    fn response(&mut self, response: &Response) -> Result<Inspected, InspectionError> {
        // The headers before modsecProcessResponse, which runs phase 3 over them and then phase 4 over the body.
        for header in response.headers.iter() {
            let (name, value) = header.map_err(|cause| InspectionError(cause.to_string()))?;
            self.add_response_header(name, value).map_err(failed)?;
        }
        let (intervention, rewritten) =
            self.process_response(response.status, &response.version, &response.body).map_err(failed)?;
        Ok(Inspected { intervention, rewritten })
    }

    fn log(&mut self, denied: Option<u16>) -> Result<AuditRecord, InspectionError> {
        // The log_transaction hook runs phase 5 and writes the audit log, with the status of the denial.
        Ok(self.process_logging(denied))
    }

    fn matches(&self, skip: usize) -> Result<Matches, InspectionError> {
        Ok(self.matches(skip))
    }

    fn tx_number(&mut self, name: &CStr) -> Option<i64> {
        std::str::from_utf8(&self.tx(name.to_bytes())?).ok()?.parse().ok()
    }
}

/// The engine's error as the error of a message.
fn failed(error: Error) -> InspectionError {
    InspectionError(error.to_string())
}
