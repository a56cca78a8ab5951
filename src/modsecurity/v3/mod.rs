//! libmodsecurity 3 behind the two traits. `request.rs` and `response.rs` say which calls of the library make up the
//! phases, and why they are in this order.

mod load;
mod request;
mod response;

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::sync::Arc;

use crate::ffi::audit::AuditRecord;
use crate::ffi::intervention::Intervention;
use crate::ffi::matches::Matches;
use crate::ffi::rules::RuleSettings;
use crate::ffi::v3::{self, Exception, Ruleset};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::modsecurity::error::{InspectionError, LibraryError, LoadError};
use crate::modsecurity::library::{Inspected, Library, Transaction};
use crate::rules::version::EngineVersion;

impl Library for Ruleset {
    const VERSION: EngineVersion = EngineVersion::V3;

    type Transaction = v3::Transaction;

    type Memory = ();

    const DEFAULT_SETTINGS: &str = include_str!("../default.conf");

    const LAST_RULES: &str = "";

    fn load(first: &str, files: &[PathBuf], last: &str) -> Result<Self, LoadError> {
        load::load(first, files, last)
    }

    fn set_tags(&mut self, tags: HashMap<i64, Vec<u8>>) {
        self.set_tags(tags);
    }

    fn contents(&self) -> Result<(RuleSettings, Vec<i64>), LibraryError> {
        Ok((self.settings()?, self.loaded()?))
    }

    fn prepare(&self) -> Result<(), LibraryError> {
        // After the fork: the zygote has seeded rand(3) in msc_init, and all engines would go on from the same seed.
        v3::reseed();
        Ok(())
    }

    fn release_memory() {
        v3::release_memory();
    }

    fn begin(self: &Arc<Self>, (): &(), id: &[u8]) -> Result<v3::Transaction, InspectionError> {
        v3::Transaction::new(Arc::clone(self), &text(id)?).map_err(failed)
    }
}

impl Transaction for v3::Transaction {
    fn request(&mut self, request: &Request) -> Result<Option<Intervention>, InspectionError> {
        request::phases(self, request)
    }

    fn placeholder_request(&mut self) -> Result<(), InspectionError> {
        request::placeholder_request(self)
    }

    fn response(&mut self, response: &Response) -> Result<Inspected, InspectionError> {
        let intervention = response::phases(self, response)?;
        Ok(Inspected { intervention, rewritten: None })
    }

    fn log(&mut self, denied: Option<u16>) -> Result<AuditRecord, InspectionError> {
        // msc_update_status_code before msc_process_logging, which writes the status into the audit log.
        if let Some(status) = denied {
            self.update_status_code(status).map_err(failed)?;
        }
        self.process_logging().map_err(failed)
    }

    fn matches(&self, skip: usize) -> Result<Matches, InspectionError> {
        self.matches(skip).map_err(failed)
    }

    fn tx_number(&mut self, name: &CStr) -> Option<i64> {
        self.tx_number(name).ok().flatten()
    }
}

/// The bytes as a C string.
///
/// # Errors
/// When there is a zero byte among them.
fn text(bytes: &[u8]) -> Result<CString, InspectionError> {
    CString::new(bytes).map_err(|error| InspectionError(error.to_string()))
}

/// The library's exception as the error of a message.
fn failed(exception: Exception) -> InspectionError {
    InspectionError(exception.0)
}
