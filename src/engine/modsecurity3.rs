//! libmodsecurity 3 as an engine: the phases of one request, in their order.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use actors::{Engine, EngineError};

use crate::engine::request::{Endpoint, Request};
use crate::engine::verdict::{Action, Intervention, RuleMatch, Verdict};
use crate::ffi::v3::{self, Exception, Matches, Transaction};

/// The engine of one worker. All share the library and its rules.
pub struct ModSecurity3 {
    library: Arc<v3::Engine>,
}

impl ModSecurity3 {
    /// An engine with the rules that were loaded into `library`. In a process of its own: made after the fork.
    #[must_use]
    pub fn new(library: Arc<v3::Engine>) -> Self {
        v3::reseed();
        Self { library }
    }
}

impl Engine for ModSecurity3 {
    type Request = Request;
    type Verdict = Verdict;

    fn inspect(&mut self, request: &Request) -> Result<Verdict, EngineError> {
        let mut transaction = Transaction::new(&self.library, &text(id(request))?).map_err(failed)?;
        let denied = phases(&mut transaction, request)?;
        let log = denied.as_ref().and_then(|denied| denied.log.clone());
        let mut intervention = denied.map(|denied| Intervention::new(denied.status, denied.url));
        let Matches { kept, dropped, rules } = match close(&mut transaction, intervention.as_ref()) {
            Ok(matches) => matches,
            // A denial stands even if it could not be logged.
            Err(_) if intervention.is_some() => Matches::default(),
            Err(exception) => return Err(failed(exception)),
        };
        let deciding = kept.iter().rev().find(|found| found.disruptive);
        let message = match &mut intervention {
            Some(intervention) => {
                if intervention.action == Action::Deny && deciding.is_some_and(|rule| rule.drops) {
                    intervention.action = Action::Drop;
                }
                // A rule with `nolog` is not among the matches; the engine has a text of its own then.
                deciding.map(|found| found.message.clone()).or(log)
            }
            None => {
                kept.iter().rev().find(|found| !found.message.is_empty()).map(|found| found.message.clone())
            }
        };
        Ok(Verdict {
            intervention,
            message: message.unwrap_or_default(),
            rules,
            matches: kept.into_iter().map(rule_match).collect(),
            more_matches: dropped,
            anomaly_score: score(&mut transaction),
        })
    }
}

/// Bytes of the longest id that the engine can make a file name of: 255, less the date and time before it.
const MAX_FILE_ID: usize = 200;

/// The transaction as audit logs name it: HAProxy's unique-id, so that they and HAProxy's own can be joined; the agent's
/// where there is none. A concurrent audit log has it in the name of a file, and the engine leaves out a record, without
/// a word, whose file it cannot open: so whoever can put a slash into the unique-id must not get his way.
fn id(request: &Request) -> &[u8] {
    let unique_id = request.unique_id.as_deref().filter(|id| id.len() <= MAX_FILE_ID && !id.contains(&b'/'));
    unique_id.unwrap_or(request.id.as_bytes())
}

fn rule_match(found: v3::Match) -> RuleMatch {
    RuleMatch {
        rule: found.rule,
        source: format!("{}:{}", String::from_utf8_lossy(&found.file), found.line),
        message: found.message,
        data: found.data,
        tags: found.tags,
        severity: found.severity,
    }
}

/// Feeds the request to the engine, phase by phase, until one intervenes.
fn phases(
    transaction: &mut Transaction<'_>,
    request: &Request,
) -> Result<Option<v3::Intervention>, EngineError> {
    if request.truncated {
        transaction.set_tx(c"body_truncated", c"1").map_err(failed)?;
    }
    let (client, server) = (address(request.client)?, address(request.server)?);
    transaction
        .process_connection((&client, request.client.port), (&server, request.server.port))
        .map_err(failed)?;
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    let (uri, method, version) = (text(&request.uri)?, text(&request.method)?, text(&request.version)?);
    transaction.process_uri(&uri, &method, &version).map_err(failed)?;
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    for header in request.headers.iter() {
        let (name, value) = header.map_err(|cause| EngineError::Request(cause.to_string()))?;
        transaction.add_request_header(name, value).map_err(failed)?;
    }
    transaction.process_request_headers().map_err(failed)?;
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    if !request.body.is_empty() {
        transaction.append_request_body(&request.body).map_err(failed)?;
        if let Some(found) = transaction.intervention().map_err(failed)? {
            return Ok(Some(found));
        }
    }
    transaction.process_request_body().map_err(failed)?;
    transaction.intervention().map_err(failed)
}

/// Where the Core Rule Set keeps the sum, in version 4 and in version 3.
const SCORES: [&CStr; 2] = [c"blocking_inbound_anomaly_score", c"anomaly_score"];

/// The score of the request. Rules that keep none have none.
fn score(transaction: &mut Transaction<'_>) -> Option<i64> {
    SCORES.iter().find_map(|name| transaction.tx_number(name).ok().flatten())
}

/// The logging phase, which runs whatever the others found.
fn close(transaction: &mut Transaction<'_>, denied: Option<&Intervention>) -> Result<Matches, Exception> {
    if let Some(denied) = denied {
        transaction.update_status_code(denied.status)?;
    }
    transaction.process_logging()?;
    transaction.matches()
}

/// The address as rules see it. A client on a Unix socket has none: rules see 0.0.0.0, which no rule that trusts an
/// address matches, unlike 127.0.0.1.
fn address(end: Endpoint) -> Result<CString, EngineError> {
    end.address.map_or_else(|| Ok(UNKNOWN_ADDRESS.to_owned()), |address| text(address.to_string().as_bytes()))
}

const UNKNOWN_ADDRESS: &CStr = c"0.0.0.0";

/// A C string of bytes that were checked to hold no zero byte.
fn text(bytes: &[u8]) -> Result<CString, EngineError> {
    CString::new(bytes).map_err(|error| EngineError::Request(error.to_string()))
}

/// What an exception says may quote the request.
fn failed(exception: Exception) -> EngineError {
    EngineError::Request(exception.0.escape_debug().to_string())
}
