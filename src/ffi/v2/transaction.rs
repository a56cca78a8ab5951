//! A transaction: one request and its response on their way through the engine.

use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use super::{Error, Ruleset, copy, matches, sys, try_call, view};
use crate::ffi::audit::AuditRecord;
use crate::ffi::body_processor::BodyProcessor;
use crate::ffi::intervention::Intervention;
use crate::ffi::matches::Matches;

/// The memory from which the transactions of one thread are allocated.
#[derive(Debug)]
pub struct Arena(NonNull<sys::ms2_arena>);

impl Arena {
    /// An empty arena. The rules prove that the engine is initialised.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(_: &Ruleset) -> Result<Rc<Self>, Error> {
        // SAFETY: a `Ruleset` exists only after `ms2_init`, which has initialised APR, from which the arena is made.
        let arena = unsafe { sys::ms2_arena_new() };
        NonNull::new(arena)
            .map(|arena| Rc::new(Self(arena)))
            .ok_or(Error::NoMemory("the transactions of a thread"))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the arena is live until here and freed once. Each transaction holds an `Rc` of it, so none is left.
        unsafe { sys::ms2_arena_free(self.0.as_ptr()) }
    }
}

/// The most bytes of the engine's text about a lost audit record.
const MAX_TROUBLE: usize = 512;

/// One transaction. Its calls go in the order of the phases. After an error only [`Transaction::process_logging`] and
/// dropping are of use.
///
/// The engine works with C strings: a zero byte anywhere except in a body is [`Error::ZeroByte`].
pub struct Transaction {
    raw: NonNull<sys::ms2_transaction>,
    /// The arena that the transaction is allocated from.
    _arena: Rc<Arena>,
    /// The rules, to which the transaction holds a raw pointer.
    _rules: Arc<Ruleset>,
}

impl Transaction {
    /// A transaction with this id, which rules see as `UNIQUE_ID`.
    ///
    /// # Errors
    /// [`Error::ZeroByte`] in the id, or [`Error::NoMemory`].
    pub fn new(arena: Rc<Arena>, rules: Arc<Ruleset>, id: &[u8]) -> Result<Self, Error> {
        let id = text(id)?;
        // SAFETY: the transaction holds the arena and the rules, so both outlive it. The arena is an `Rc`, so only this
        // thread uses it. The shim copies the id.
        let raw = unsafe { sys::ms2_transaction_new(arena.0.as_ptr(), rules.raw(), id) };
        let raw = NonNull::new(raw).ok_or(Error::NoMemory("a transaction"))?;
        Ok(Self { raw, _arena: arena, _rules: rules })
    }

    /// Sets the addresses, as text, and ports of client and server. Before phase 1.
    ///
    /// # Errors
    /// [`Error::ZeroByte`] in an address.
    pub fn set_connection(&mut self, client: (&[u8], u16), server: (&[u8], u16)) -> Result<(), Error> {
        let (client, client_port) = (text(client.0)?, client.1.into());
        let (server, server_port) = (text(server.0)?, server.1.into());
        // SAFETY: the transaction is live and not shared (`&mut`), and the shim copies both texts during the call.
        unsafe { sys::ms2_set_connection(self.raw.as_ptr(), client, client_port, server, server_port) }
        Ok(())
    }

    /// Sets the request line; `version` is like `1.1`. Before phase 1.
    ///
    /// # Errors
    /// [`Error::ZeroByte`] in a part of the line.
    pub fn set_request_line(&mut self, method: &[u8], uri: &[u8], version: &[u8]) -> Result<(), Error> {
        let (method, uri, version) = (text(method)?, text(uri)?, text(version)?);
        // SAFETY: the transaction is live and not shared (`&mut`), and the shim copies the texts during the call.
        unsafe { sys::ms2_set_request_line(self.raw.as_ptr(), method, uri, version) }
        Ok(())
    }

    /// Adds a header of the request, also one whose name was added before. Before phase 1.
    ///
    /// # Errors
    /// [`Error::ZeroByte`] in the name or the value.
    pub fn add_request_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: the transaction is live and not shared (`&mut`), and the shim copies both texts during the call.
        unsafe { sys::ms2_add_request_header(self.raw.as_ptr(), name, value) }
        Ok(())
    }

    /// Sets the variable `TX:name`. Before phase 1.
    ///
    /// # Errors
    /// [`Error::ZeroByte`] in the name or the value.
    pub fn set_tx(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: the transaction is live and not shared (`&mut`), and the shim copies both texts during the call.
        unsafe { sys::ms2_set_tx(self.raw.as_ptr(), name, value) }
        Ok(())
    }

    /// Excludes one rule from this transaction. Before phase 1.
    pub fn ignore_rule(&mut self, rule: i64) {
        // SAFETY: the transaction is live and not shared (`&mut`).
        unsafe { sys::ms2_ignore_rule(self.raw.as_ptr(), rule) }
    }

    /// Runs phase 1. `body` is the number of bytes that the body will have.
    ///
    /// # Errors
    /// [`Error::Engine`] when the engine gives up on the request.
    pub fn process_request_headers(&mut self, body: usize) -> Result<Option<Intervention>, Error> {
        let raw = self.raw.as_ptr();
        // SAFETY: the transaction is live and not shared (`&mut`).
        let outcome = try_call(|error| unsafe { sys::ms2_process_request_headers(raw, body, error) })?;
        Ok(self.intervention(outcome))
    }

    /// Returns the parser that will read the body. Between the phases 1 and 2.
    #[must_use]
    pub fn body_processor(&self) -> Option<BodyProcessor> {
        // SAFETY: the transaction is live.
        BodyProcessor::from_shim(unsafe { sys::ms2_body_processor(self.raw.as_ptr()) })
    }

    /// Runs phase 2, also for a request without a body.
    ///
    /// # Errors
    /// [`Error::Engine`] when the engine gives up on the request.
    pub fn process_request_body(&mut self, body: &[u8]) -> Result<Option<Intervention>, Error> {
        let raw = self.raw.as_ptr();
        // SAFETY: the transaction is live and not shared (`&mut`). The shim drops its reference to the bytes before it
        // returns.
        let outcome = try_call(|error| unsafe { sys::ms2_process_request_body(raw, view(body), error) })?;
        Ok(self.intervention(outcome))
    }

    /// Forgets an intervention of the request's phases, so that the response's phases run.
    pub fn forget_intervention(&mut self) {
        // SAFETY: the transaction is live and not shared (`&mut`). Before phase 1 the shim does nothing.
        unsafe { sys::ms2_forget_intervention(self.raw.as_ptr()) }
    }

    /// Adds a header of the response. Before phase 3.
    ///
    /// # Errors
    /// [`Error::ZeroByte`] in the name or the value.
    pub fn add_response_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: the transaction is live and not shared (`&mut`), and the shim copies both texts during the call.
        unsafe { sys::ms2_add_response_header(self.raw.as_ptr(), name, value) }
        Ok(())
    }

    /// Runs phases 3 and 4. Also returns the body as rules have rewritten it, if they have.
    ///
    /// # Errors
    /// [`Error::ZeroByte`] in the version, or [`Error::Engine`] when the engine gives up on the response.
    pub fn process_response(
        &mut self,
        status: u16,
        version: &[u8],
        body: &[u8],
    ) -> Result<(Option<Intervention>, Option<Vec<u8>>), Error> {
        let (raw, version) = (self.raw.as_ptr(), text(version)?);
        let mut rewritten = sys::ms2_bytes { start: std::ptr::null(), length: 0 };
        // SAFETY: the transaction is live and not shared (`&mut`). The shim copies the bytes, and `rewritten` is valid
        // for the write.
        let outcome = try_call(|error| unsafe {
            sys::ms2_process_response(raw, status.into(), version, view(body), &mut rewritten, error)
        })?;
        // SAFETY: the start is NULL, or that of bytes in the transaction's pool, which lives as long as the
        // transaction.
        let rewritten = unsafe { copy(rewritten, usize::MAX) };
        Ok((self.intervention(outcome), rewritten))
    }

    /// Runs phase 5 and writes the audit log. `denied` is the status of a denial. Returns what the engine says of the
    /// record.
    pub fn process_logging(&mut self, denied: Option<u16>) -> AuditRecord {
        let mut trouble = sys::ms2_bytes { start: std::ptr::null(), length: 0 };
        // SAFETY: the transaction is live and not shared (`&mut`), and `trouble` is valid for the write.
        let written =
            unsafe { sys::ms2_process_logging(self.raw.as_ptr(), denied.unwrap_or(0).into(), &mut trouble) };
        // SAFETY: the start is NULL, or that of bytes in the transaction's pool, which lives as long as the
        // transaction.
        match unsafe { copy(trouble, MAX_TROUBLE) } {
            Some(trouble) => AuditRecord::Lost(String::from_utf8_lossy(&trouble).trim().to_owned()),
            None if written != 0 => AuditRecord::Appended,
            None => AuditRecord::None,
        }
    }

    /// Returns the text of `TX:name`, if the variable exists.
    #[must_use]
    pub fn tx(&self, name: &[u8]) -> Option<Vec<u8>> {
        let name = text(name).ok()?;
        // SAFETY: the transaction is live and, as it is not `Sync`, in no other call. The shim copies the name, and the
        // text that it returns lives until the next call.
        unsafe { copy(sys::ms2_tx(self.raw.as_ptr(), name), usize::MAX) }
    }

    /// Returns the matches up to now, without the first `skip`.
    #[must_use]
    pub fn matches(&self, skip: usize) -> Matches {
        // SAFETY: the transaction is live and, as it is not `Sync`, in no other call.
        unsafe { matches::read(self.raw.as_ptr(), skip) }
    }

    /// The intervention that an outcome of a phase stands for.
    fn intervention(&self, outcome: i32) -> Option<Intervention> {
        if outcome == 0 {
            return None;
        }
        // SAFETY: the transaction is live and has just intervened, so the engine's record of it exists.
        let found = unsafe { sys::ms2_intervention_of(self.raw.as_ptr()) };
        // SAFETY: the start is NULL, or that of bytes in the transaction's pool, which lives as long as the
        // transaction.
        let url = unsafe { copy(found.url, usize::MAX) };
        Some(Intervention { status: found.status, url, drops: found.drops != 0, log: None })
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: the transaction is live until here and freed once.
        unsafe { sys::ms2_transaction_free(self.raw.as_ptr()) }
    }
}

/// Text that the engine takes as a C string.
///
/// # Errors
/// [`Error::ZeroByte`].
fn text(bytes: &[u8]) -> Result<sys::ms2_bytes, Error> {
    if bytes.contains(&0) {
        return Err(Error::ZeroByte);
    }
    Ok(view(bytes))
}
