//! One request's way through the engine.

use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use super::{Error, Ruleset, copy, matches, sys, try_call, view};
use crate::ffi::body_processor::BodyProcessor;
use crate::ffi::intervention::Intervention;
use crate::ffi::matches::Matches;

/// The memory of one thread's transactions.
#[derive(Debug)]
pub struct Arena(NonNull<sys::ms2_arena>);

impl Arena {
    /// An empty one, for transactions with rules like these.
    pub fn new(_: &Ruleset) -> Result<Rc<Self>, Error> {
        // SAFETY: there are rules, so the engine is initialised, and APR with it.
        let arena = unsafe { sys::ms2_arena_new() };
        NonNull::new(arena)
            .map(|arena| Rc::new(Self(arena)))
            .ok_or_else(|| Error("no memory for transactions".to_owned()))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: live until here; transactions hold the arena, so there are none.
        unsafe { sys::ms2_arena_free(self.0.as_ptr()) }
    }
}

/// One transaction. Its calls go in the order of the phases; after an error only [`Transaction::process_logging`] and
/// dropping make sense.
///
/// The engine works with C strings, so nothing but a body may have a zero byte: what would is an error.
pub struct Transaction {
    raw: NonNull<sys::ms2_transaction>,
    /// It takes its memory from there, and gives it back.
    _arena: Rc<Arena>,
    /// It holds a raw pointer to them.
    _rules: Arc<Ruleset>,
}

impl Transaction {
    /// A transaction with this id, which rules see as `UNIQUE_ID`.
    pub fn new(arena: Rc<Arena>, rules: Arc<Ruleset>, id: &[u8]) -> Result<Self, Error> {
        let id = text(id)?;
        // SAFETY: arena and rules are live as long as the transaction holds them, and the arena is used by this thread
        // alone (an `Rc`); the id is copied.
        let raw = unsafe { sys::ms2_transaction_new(arena.0.as_ptr(), rules.raw(), id) };
        let raw = NonNull::new(raw).ok_or_else(|| Error("no memory for a transaction".to_owned()))?;
        Ok(Self { raw, _arena: arena, _rules: rules })
    }

    /// Who talks to whom. Addresses as text.
    pub fn set_connection(&mut self, client: (&[u8], u16), server: (&[u8], u16)) -> Result<(), Error> {
        let (client, client_port) = (text(client.0)?, client.1.into());
        let (server, server_port) = (text(server.0)?, server.1.into());
        // SAFETY: the transaction is live, both texts are copied.
        unsafe { sys::ms2_set_connection(self.raw.as_ptr(), client, client_port, server, server_port) }
        Ok(())
    }

    /// The request line. `version` without the `HTTP/`.
    pub fn set_request_line(&mut self, method: &[u8], uri: &[u8], version: &[u8]) -> Result<(), Error> {
        let (method, uri, version) = (text(method)?, text(uri)?, text(version)?);
        // SAFETY: the transaction is live, the texts are copied.
        unsafe { sys::ms2_set_request_line(self.raw.as_ptr(), method, uri, version) }
        Ok(())
    }

    /// One header. Headers of the same name are all kept.
    pub fn add_request_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: the transaction is live, both texts are copied.
        unsafe { sys::ms2_add_request_header(self.raw.as_ptr(), name, value) }
        Ok(())
    }

    /// Sets `TX:name` for the rules.
    pub fn set_tx(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: the transaction is live, both texts are copied.
        unsafe { sys::ms2_set_tx(self.raw.as_ptr(), name, value) }
        Ok(())
    }

    /// Leaves one rule out.
    pub fn ignore_rule(&mut self, rule: i64) {
        // SAFETY: the transaction is live.
        unsafe { sys::ms2_ignore_rule(self.raw.as_ptr(), rule) }
    }

    /// Phase 1. There will be so many bytes of a body.
    pub fn process_request_headers(&mut self, body: usize) -> Result<Option<Intervention>, Error> {
        let raw = self.raw.as_ptr();
        // SAFETY: the transaction is live.
        let outcome = try_call(|error| unsafe { sys::ms2_process_request_headers(raw, body, error) })?;
        Ok(self.intervention(outcome))
    }

    /// Which parser will read the body; to be asked between the phases 1 and 2.
    #[must_use]
    pub fn body_processor(&self) -> Option<BodyProcessor> {
        // SAFETY: the transaction is live.
        BodyProcessor::from_shim(unsafe { sys::ms2_body_processor(self.raw.as_ptr()) })
    }

    /// Phase 2, also for a request without a body.
    pub fn process_request_body(&mut self, body: &[u8]) -> Result<Option<Intervention>, Error> {
        let raw = self.raw.as_ptr();
        // SAFETY: the transaction is live, and the bytes are not used after the call.
        let outcome = try_call(|error| unsafe { sys::ms2_process_request_body(raw, view(body), error) })?;
        Ok(self.intervention(outcome))
    }

    /// Lets the response's phases run although the request's have intervened.
    pub fn forget_intervention(&mut self) {
        // SAFETY: the transaction is live, and phase 1 has begun: without it there would be an error.
        unsafe { sys::ms2_forget_intervention(self.raw.as_ptr()) }
    }

    /// One header of the response.
    pub fn add_response_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: the transaction is live, both texts are copied.
        unsafe { sys::ms2_add_response_header(self.raw.as_ptr(), name, value) }
        Ok(())
    }

    /// Phases 3 and 4. Also gives the body as rules have rewritten it, if they have.
    pub fn process_response(
        &mut self,
        status: u16,
        version: &[u8],
        body: &[u8],
    ) -> Result<(Option<Intervention>, Option<Vec<u8>>), Error> {
        let (raw, version) = (self.raw.as_ptr(), text(version)?);
        let mut rewritten = sys::ms2_bytes { start: std::ptr::null(), length: 0 };
        // SAFETY: the transaction is live, the bytes are not used after the call, the result is ours.
        let outcome = try_call(|error| unsafe {
            sys::ms2_process_response(raw, status.into(), version, view(body), &mut rewritten, error)
        })?;
        // SAFETY: NULL, or bytes that live as long as the transaction.
        let rewritten = unsafe { copy(rewritten, usize::MAX) };
        Ok((self.intervention(outcome), rewritten))
    }

    /// Phase 5 and the audit log; with the status of a denial.
    pub fn process_logging(&mut self, denied: Option<u16>) {
        // SAFETY: the transaction is live.
        unsafe { sys::ms2_process_logging(self.raw.as_ptr(), denied.unwrap_or(0).into()) }
    }

    /// The text of `TX:name`, if there is one.
    #[must_use]
    pub fn tx(&self, name: &[u8]) -> Option<Vec<u8>> {
        let name = text(name).ok()?;
        // SAFETY: the transaction is live, the name is copied; what it gives lives until another call.
        unsafe { copy(sys::ms2_tx(self.raw.as_ptr(), name), usize::MAX) }
    }

    /// What matched so far, without the first `skip` matches.
    #[must_use]
    pub fn matches(&self, skip: usize) -> Matches {
        // SAFETY: the transaction is live and, not being `Sync`, in no other call.
        unsafe { matches::read(self.raw.as_ptr(), skip) }
    }

    fn intervention(&self, outcome: i32) -> Option<Intervention> {
        if outcome == 0 {
            return None;
        }
        // SAFETY: the transaction is live, and has just intervened.
        let found = unsafe { sys::ms2_intervention_of(self.raw.as_ptr()) };
        // SAFETY: NULL, or bytes that live as long as the transaction.
        let url = unsafe { copy(found.url, usize::MAX) };
        Some(Intervention { status: found.status, url, drops: found.drops != 0, log: None })
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: live until here.
        unsafe { sys::ms2_transaction_free(self.raw.as_ptr()) }
    }
}

/// Bytes that the engine takes as a C string.
fn text(bytes: &[u8]) -> Result<sys::ms2_bytes, Error> {
    if bytes.contains(&0) {
        return Err(Error("a zero byte, at which the engine would silently end".to_owned()));
    }
    Ok(view(bytes))
}
