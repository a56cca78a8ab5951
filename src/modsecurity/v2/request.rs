//! The phases of a request: 1 (headers) and 2 (body). ModSecurity 2.9 runs them in the hooks that it registers with
//! Apache.

use super::failed;
use crate::ffi::intervention::Intervention;
use crate::ffi::v2::Transaction;
use crate::message::request::{Endpoint, Request};
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::library::{PLACEHOLDER_HEADERS, UNKNOWN_ADDRESS};
use crate::modsecurity::truncated_body::{TRUNCATED, with_ending};

/// Feeds the request to the engine, phase by phase, until a rule intervenes.
///
/// # Errors
/// When the engine gives up on the request, the headers are malformed, or a text has a zero byte.
pub(super) fn phases(
    transaction: &mut Transaction,
    request: &Request,
) -> Result<Option<Intervention>, InspectionError> {
    // TX variables and exclusions before phase 1, as the engine takes them over in modsecurity_tx_init, at the start of
    // phase 1.
    if request.truncated {
        transaction.set_tx(TRUNCATED.to_bytes(), b"1").map_err(failed)?;
    }
    for &rule in &request.ignored_rules {
        transaction.ignore_rule(rule);
    }
    // Connection, request line and headers before phase 1: the engine reads them from Apache's records of both when it
    // begins.
    let (client, server) = (address(request.client), address(request.server));
    let (client, server) = (client.as_bytes(), server.as_bytes());
    transaction
        .set_connection((client, request.client.port), (server, request.server.port))
        .and_then(|()| transaction.set_request_line(&request.method, &request.uri, &request.version))
        .map_err(failed)?;
    for header in request.headers.iter() {
        let (name, value) = header.map_err(|cause| InspectionError(cause.to_string()))?;
        transaction.add_request_header(name, value).map_err(failed)?;
    }
    // The post_read_request hook runs phase 1. It is told the length of the body, as it decides then whether to read
    // one.
    let denied = transaction.process_request_headers(request.body.len()).map_err(failed)?;
    if denied.is_some() {
        return Ok(denied);
    }
    let body = match request.truncated {
        true => {
            let content_type = request.headers.first("content-type");
            with_ending(transaction.body_processor(), content_type, &request.body)
        }
        false => request.body[..].into(),
    };
    // The fixups hook reads the body and runs phase 2, also without a body.
    transaction.process_request_body(&body).map_err(failed)
}

/// Takes a placeholder through phases 1 and 2, in the order of [`phases`], for a response whose request is not parked.
///
/// # Errors
/// When the engine gives up.
pub(super) fn placeholder_request(transaction: &mut Transaction) -> Result<(), InspectionError> {
    let nobody = (UNKNOWN_ADDRESS.as_bytes(), 0);
    transaction
        .set_connection(nobody, nobody)
        .and_then(|()| transaction.set_request_line(b"GET", b"/", b"1.1"))
        .map_err(failed)?;
    for (name, value) in PLACEHOLDER_HEADERS {
        transaction.add_request_header(name.as_bytes(), value.as_bytes()).map_err(failed)?;
    }
    // Interventions are forgotten, as no client has sent this request: with one, the engine would skip the later
    // phases.
    transaction.process_request_headers(0).map_err(failed)?;
    transaction.forget_intervention();
    transaction.process_request_body(b"").map_err(failed)?;
    transaction.forget_intervention();
    Ok(())
}

/// The address of a client or server as text for the engine.
fn address(end: Endpoint) -> String {
    end.address.map_or_else(|| UNKNOWN_ADDRESS.to_owned(), |address| address.to_string())
}
