//! One request's way through the engine.

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;
use std::sync::Arc;

use super::{Exception, Ruleset, matches, sys, text_of, try_call};
use crate::ffi::body_processor::BodyProcessor;
use crate::ffi::intervention::Intervention;
use crate::ffi::matches::Matches;

/// One transaction. Its calls go in the order of the phases; after an error only [`Transaction::process_logging`] and
/// dropping make sense.
pub struct Transaction {
    raw: NonNull<sys::Transaction>,
    /// The transaction holds raw pointers to the engine and its rules.
    _engine: Arc<Ruleset>,
}

impl Transaction {
    /// A transaction with this id, which rules see as `UNIQUE_ID`.
    pub fn new(engine: Arc<Ruleset>, id: &CStr) -> Result<Self, Exception> {
        let mut error = sys::mss_error { text: [0; 512] };
        // SAFETY: engine and rules are live as long as the transaction holds the engine; the id is terminated and copied.
        let raw =
            unsafe { sys::mss_transaction_new(engine.library(), engine.rules(), id.as_ptr(), &mut error) };
        let raw = NonNull::new(raw).ok_or_else(|| text_of(&error))?;
        Ok(Self { raw, _engine: engine })
    }

    fn call(
        &mut self,
        call: impl FnOnce(*mut sys::Transaction, *mut sys::mss_error) -> i32,
    ) -> Result<i32, Exception> {
        let raw = self.raw.as_ptr();
        try_call(|error| call(raw, error))
    }

    /// Sets `TX:name` for the rules.
    pub fn set_tx(&mut self, name: &CStr, value: &CStr) -> Result<(), Exception> {
        // SAFETY: the transaction is live, both strings are terminated and copied.
        self.call(|raw, error| unsafe { sys::mss_set_tx(raw, name.as_ptr(), value.as_ptr(), error) })
            .map(drop)
    }

    /// Leaves one rule out.
    pub fn ignore_rule(&mut self, rule: i64) -> Result<(), Exception> {
        // SAFETY: the transaction is live.
        self.call(|raw, error| unsafe { sys::mss_ignore_rule(raw, rule, error) }).map(drop)
    }

    /// Phase 0: who talks to whom. Addresses as text.
    pub fn process_connection(
        &mut self,
        client: (&CStr, u16),
        server: (&CStr, u16),
    ) -> Result<(), Exception> {
        // SAFETY: the transaction is live, both strings are terminated and copied.
        self.call(|raw, error| unsafe {
            let (client, client_port) = (client.0.as_ptr(), client.1.into());
            sys::mss_process_connection(raw, client, client_port, server.0.as_ptr(), server.1.into(), error)
        })
        .map(drop)
    }

    /// The request line. `version` without the `HTTP/`.
    pub fn process_uri(&mut self, uri: &CStr, method: &CStr, version: &CStr) -> Result<(), Exception> {
        // SAFETY: the transaction is live, the strings are terminated and copied.
        self.call(|raw, error| unsafe {
            sys::mss_process_uri(raw, uri.as_ptr(), method.as_ptr(), version.as_ptr(), error)
        })
        .map(drop)
    }

    /// One header, in any bytes. Headers of the same name are all kept.
    pub fn add_request_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live, the bytes are as long as they say and copied.
        self.call(|raw, error| unsafe { sys::mss_add_request_header(raw, view(name), view(value), error) })
            .map(drop)
    }

    /// Phase 1.
    pub fn process_request_headers(&mut self) -> Result<(), Exception> {
        // SAFETY: the transaction is live.
        self.call(|raw, error| unsafe { sys::mss_process_request_headers(raw, error) }).map(drop)
    }

    /// Which parser will read the body; to be asked between the phases 1 and 2.
    pub fn body_processor(&mut self) -> Result<Option<BodyProcessor>, Exception> {
        // SAFETY: the transaction is live.
        self.call(|raw, error| unsafe { sys::mss_body_processor(raw, error) }).map(BodyProcessor::from_shim)
    }

    /// A piece of the body.
    pub fn append_request_body(&mut self, body: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live, the bytes are as long as they say and copied.
        self.call(|raw, error| unsafe { sys::mss_append_request_body(raw, view(body), error) }).map(drop)
    }

    /// Phase 2, also for a request without a body.
    pub fn process_request_body(&mut self) -> Result<(), Exception> {
        // SAFETY: the transaction is live.
        self.call(|raw, error| unsafe { sys::mss_process_request_body(raw, error) }).map(drop)
    }

    /// One header of the response, in any bytes.
    pub fn add_response_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live, the bytes are as long as they say and copied.
        self.call(|raw, error| unsafe { sys::mss_add_response_header(raw, view(name), view(value), error) })
            .map(drop)
    }

    /// Phase 3. `protocol` is like `HTTP/1.1`.
    pub fn process_response_headers(&mut self, status: u16, protocol: &CStr) -> Result<(), Exception> {
        // SAFETY: the transaction is live, the string is terminated and copied.
        self.call(|raw, error| unsafe {
            sys::mss_process_response_headers(raw, status.into(), protocol.as_ptr(), error)
        })
        .map(drop)
    }

    /// A piece of the response's body.
    pub fn append_response_body(&mut self, body: &[u8]) -> Result<(), Exception> {
        // SAFETY: the transaction is live, the bytes are as long as they say and copied.
        self.call(|raw, error| unsafe { sys::mss_append_response_body(raw, view(body), error) }).map(drop)
    }

    /// Phase 4, also for a response without a body.
    pub fn process_response_body(&mut self) -> Result<(), Exception> {
        // SAFETY: the transaction is live.
        self.call(|raw, error| unsafe { sys::mss_process_response_body(raw, error) }).map(drop)
    }

    /// The status that the client gets, for the audit log.
    pub fn update_status_code(&mut self, status: u16) -> Result<(), Exception> {
        // SAFETY: the transaction is live.
        self.call(|raw, error| unsafe { sys::mss_update_status_code(raw, status.into(), error) }).map(drop)
    }

    /// Phase 5 and the audit log.
    pub fn process_logging(&mut self) -> Result<(), Exception> {
        // SAFETY: the transaction is live.
        self.call(|raw, error| unsafe { sys::mss_process_logging(raw, error) }).map(drop)
    }

    /// Whether the phases so far want to intervene. Asking takes the answer: the next call says no.
    pub fn intervention(&mut self) -> Result<Option<Intervention>, Exception> {
        let mut found = sys::ModSecurityIntervention {
            status: 200,
            pause: 0,
            url: std::ptr::null_mut(),
            log: std::ptr::null_mut(),
            disruptive: 0,
        };
        // SAFETY: the transaction is live, and the struct is zeroed as the call needs it.
        let intervenes = self.call(|raw, error| unsafe { sys::mss_intervention(raw, &mut found, error) });
        // SAFETY: NULL, or malloc'd by the engine and ours from here on.
        let (url, log) = unsafe { (take_string(found.url), take_string(found.log)) };
        Ok((intervenes? != 0).then_some(Intervention { status: found.status, url, drops: false, log }))
    }

    /// The number in `TX:name`, if there is one.
    pub fn tx_number(&mut self, name: &CStr) -> Result<Option<i64>, Exception> {
        let mut number = 0;
        // SAFETY: the transaction is live, the name is terminated, the number is ours.
        let found =
            self.call(|raw, error| unsafe { sys::mss_tx_number(raw, name.as_ptr(), &mut number, error) })?;
        Ok((found == 1).then_some(number))
    }

    /// What matched so far, without the first `skip` matches.
    pub fn matches(&self, skip: usize) -> Result<Matches, Exception> {
        // SAFETY: the transaction is live and, not being `Sync`, in no other call.
        unsafe { matches::read(self.raw.as_ptr(), skip) }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: live until here.
        unsafe { sys::msc_transaction_cleanup(self.raw.as_ptr()) }
    }
}

fn view(bytes: &[u8]) -> sys::mss_bytes {
    sys::mss_bytes { start: bytes.as_ptr().cast::<c_char>(), length: bytes.len() }
}

unsafe extern "C" {
    /// C's own, which the engine's malloc belongs to.
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
    // SAFETY: terminated, as promised by the caller.
    let copy = unsafe { CStr::from_ptr(text) }.to_bytes().to_vec();
    // SAFETY: from malloc and not freed yet, as promised by the caller.
    unsafe { free(text.cast()) };
    Some(copy)
}
