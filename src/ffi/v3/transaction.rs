//! A transaction: one request and its response on their way through the library.

use std::ffi::{CStr, OsString, c_char};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{Exception, Ruleset, matches, sys, text_of, try_call};
use crate::ffi::audit::AuditRecord;
use crate::ffi::body_processor::BodyProcessor;
use crate::ffi::intervention::Intervention;
use crate::ffi::matches::Matches;

/// Bytes of the longest path that the system takes, its end included.
const MAX_PATH: usize = 4096;

/// One transaction. Its calls go in the order of the phases. After an error only [`Transaction::process_logging`] and
/// dropping are of use.
pub struct Transaction {
    raw: NonNull<sys::Transaction>,
    /// The library and its rules, to which the transaction holds raw pointers.
    rules: Arc<Ruleset>,
}

impl Transaction {
    /// A transaction with this id, which rules see as `UNIQUE_ID`.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn new(rules: Arc<Ruleset>, id: &CStr) -> Result<Self, Exception> {
        let mut error = sys::mss_error { text: [0; 512] };
        // SAFETY: the transaction holds library and rules, so both outlive it. The id is a terminated string, which is
        // copied.
        let raw =
            unsafe { sys::mss_transaction_new(rules.library(), rules.rules(), id.as_ptr(), &mut error) };
        let raw = NonNull::new(raw).ok_or_else(|| text_of(&error))?;
        Ok(Self { raw, rules })
    }

    /// Makes one call of the shim for this transaction.
    fn call(
        &mut self,
        call: impl FnOnce(*mut sys::Transaction, *mut sys::mss_error) -> i32,
    ) -> Result<i32, Exception> {
        let raw = self.raw.as_ptr();
        try_call(|error| call(raw, error))
    }

    /// Sets the variable `TX:name`. Before the first phase.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn set_tx(&mut self, name: &CStr, value: &CStr) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`), and the library copies the terminated strings during
        // the call.
        self.call(|raw, error| unsafe { sys::mss_set_tx(raw, name.as_ptr(), value.as_ptr(), error) })
            .map(drop)
    }

    /// Excludes one rule from this transaction. Before the first phase.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn ignore_rule(&mut self, rule: i64) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`).
        self.call(|raw, error| unsafe { sys::mss_ignore_rule(raw, rule, error) }).map(drop)
    }

    /// Sets the addresses, as text, and ports of client and server (phase 0).
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn process_connection(
        &mut self,
        client: (&CStr, u16),
        server: (&CStr, u16),
    ) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`), and the library copies the terminated strings during
        // the call.
        self.call(|raw, error| unsafe {
            let (client, client_port) = (client.0.as_ptr(), client.1.into());
            sys::mss_process_connection(raw, client, client_port, server.0.as_ptr(), server.1.into(), error)
        })
        .map(drop)
    }

    /// Sets the request line; `version` is like `1.1`. After the connection and before the headers.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn process_uri(&mut self, uri: &CStr, method: &CStr, version: &CStr) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`), and the library copies the terminated strings during
        // the call.
        self.call(|raw, error| unsafe {
            sys::mss_process_uri(raw, uri.as_ptr(), method.as_ptr(), version.as_ptr(), error)
        })
        .map(drop)
    }

    /// Gives rules the whole of this decoded path where [`Transaction::process_uri`] has cut it at a question mark that
    /// was escaped. Before the headers.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn restore_path(&mut self, decoded: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`), and the bytes are live and copied during the call.
        self.call(|raw, error| unsafe { sys::mss_restore_path(raw, view(decoded), error) }).map(drop)
    }

    /// Adds a header of the request, in any bytes, also one whose name was added before. Before phase 1.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn add_request_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`). The views have the lengths of live slices, and are
        // copied during the call.
        self.call(|raw, error| unsafe { sys::mss_add_request_header(raw, view(name), view(value), error) })
            .map(drop)
    }

    /// Runs phase 1.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn process_request_headers(&mut self) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`).
        self.call(|raw, error| unsafe { sys::mss_process_request_headers(raw, error) }).map(drop)
    }

    /// Returns the parser that will read the body. Between the phases 1 and 2.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn body_processor(&mut self) -> Result<Option<BodyProcessor>, Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`).
        self.call(|raw, error| unsafe { sys::mss_body_processor(raw, error) }).map(BodyProcessor::from_shim)
    }

    /// Appends a piece of the request's body. After phase 1.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn append_request_body(&mut self, body: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`). The views have the lengths of live slices, and are
        // copied during the call.
        self.call(|raw, error| unsafe { sys::mss_append_request_body(raw, view(body), error) }).map(drop)
    }

    /// Runs phase 2, also for a request without a body.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn process_request_body(&mut self) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`).
        self.call(|raw, error| unsafe { sys::mss_process_request_body(raw, error) }).map(drop)
    }

    /// Adds a header of the response, in any bytes. Before phase 3.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn add_response_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`). The views have the lengths of live slices, and are
        // copied during the call.
        self.call(|raw, error| unsafe { sys::mss_add_response_header(raw, view(name), view(value), error) })
            .map(drop)
    }

    /// Runs phase 3. `protocol` is like `HTTP/1.1`.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn process_response_headers(&mut self, status: u16, protocol: &CStr) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`), and the library copies the terminated string during
        // the call.
        self.call(|raw, error| unsafe {
            sys::mss_process_response_headers(raw, status.into(), protocol.as_ptr(), error)
        })
        .map(drop)
    }

    /// Appends a piece of the response's body. After phase 3.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn append_response_body(&mut self, body: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`). The views have the lengths of live slices, and are
        // copied during the call.
        self.call(|raw, error| unsafe { sys::mss_append_response_body(raw, view(body), error) }).map(drop)
    }

    /// Runs phase 4, also for a response without a body.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn process_response_body(&mut self) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`).
        self.call(|raw, error| unsafe { sys::mss_process_response_body(raw, error) }).map(drop)
    }

    /// Sets the status that the client gets, for the audit log.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn update_status_code(&mut self, status: u16) -> Result<(), Exception> {
        // SAFETY: the transaction is live and not shared (`&mut`).
        self.call(|raw, error| unsafe { sys::mss_update_status_code(raw, status.into(), error) }).map(drop)
    }

    /// Runs phase 5 and writes the audit log.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn process_logging(&mut self) -> Result<AuditRecord, Exception> {
        let mut path: [c_char; MAX_PATH] = [0; MAX_PATH];
        // SAFETY: the transaction is live and not shared (`&mut`). The shim writes a terminated path of the given size at
        // most.
        let record = self.call(|raw, error| unsafe {
            sys::mss_process_logging(raw, path.as_mut_ptr(), path.len(), error)
        })?;
        let path: Vec<u8> = path.iter().map(|&char| char as u8).take_while(|&byte| byte != 0).collect();
        Ok(match record {
            0 => AuditRecord::None,
            1 => AuditRecord::Appended,
            _ => AuditRecord::Own(PathBuf::from(OsString::from_vec(path))),
        })
    }

    /// Returns the intervention of the phases up to now, if there is one, and takes it: the next call returns `None`.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn intervention(&mut self) -> Result<Option<Intervention>, Exception> {
        let mut found = sys::ModSecurityIntervention {
            status: 200,
            pause: 0,
            url: std::ptr::null_mut(),
            log: std::ptr::null_mut(),
            disruptive: 0,
        };
        // SAFETY: the transaction is live and not shared (`&mut`). `found` is valid for the write, and initialised as
        // msc_intervention expects it: status 200, no texts.
        let intervenes = self.call(|raw, error| unsafe { sys::mss_intervention(raw, &mut found, error) });
        // SAFETY: each is NULL, or a terminated string from the library's malloc that the caller has to free.
        let (url, log) = unsafe { (take_string(found.url), take_string(found.log)) };
        Ok((intervenes? != 0).then_some(Intervention { status: found.status, url, drops: false, log }))
    }

    /// Returns the number in `TX:name`; `None` when the variable does not exist or is no number.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn tx_number(&mut self, name: &CStr) -> Result<Option<i64>, Exception> {
        let mut number = 0;
        // SAFETY: the transaction is live and not shared (`&mut`), the name is terminated, and `number` is valid for
        // the write.
        let found =
            self.call(|raw, error| unsafe { sys::mss_tx_number(raw, name.as_ptr(), &mut number, error) })?;
        Ok((found == 1).then_some(number))
    }

    /// Returns the matches up to now, without the first `skip`.
    ///
    /// # Errors
    /// When the library throws a C++ exception.
    pub fn matches(&self, skip: usize) -> Result<Matches, Exception> {
        // SAFETY: the transaction is live and, as it is not `Sync`, in no other call.
        let mut matches = unsafe { matches::read(self.raw.as_ptr(), skip) }?;
        for found in matches.kept.iter_mut().filter(|found| found.tags.is_empty()) {
            found.tags.extend_from_slice(self.rules.tags(found.rule).unwrap_or_default());
        }
        Ok(matches)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: the transaction is live until here and freed once.
        unsafe { sys::msc_transaction_cleanup(self.raw.as_ptr()) }
    }
}

/// The bytes as the shim takes them: a pointer that is valid as long as `bytes` is borrowed.
fn view(bytes: &[u8]) -> sys::mss_bytes {
    sys::mss_bytes { start: bytes.as_ptr().cast::<c_char>(), length: bytes.len() }
}

unsafe extern "C" {
    /// C's free, which belongs to the malloc that the library uses.
    fn free(memory: *mut std::ffi::c_void);
}

/// Copies a C string and frees it.
///
/// # Safety
/// `text` is NULL, or a terminated string from `malloc` that nobody else frees.
unsafe fn take_string(text: *mut c_char) -> Option<Vec<u8>> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller promises a terminated string.
    let copy = unsafe { CStr::from_ptr(text) }.to_bytes().to_vec();
    // SAFETY: the caller promises a string from malloc that nothing else frees; the copy above no longer borrows it.
    unsafe { free(text.cast()) };
    Some(copy)
}
