//! The phases of a request.

use super::failed;
use crate::ffi::intervention::Intervention;
use crate::ffi::v2::Transaction;
use crate::message::request::{Endpoint, Request};
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::library::{PLACEHOLDER_HEADERS, UNKNOWN_ADDRESS};
use crate::modsecurity::truncated_body::{TRUNCATED, with_ending};

/// Feeds the request to the engine, phase by phase, until one intervenes.
pub(super) fn phases(
    transaction: &mut Transaction,
    request: &Request,
) -> Result<Option<Intervention>, InspectionError> {
    if request.truncated {
        transaction.set_tx(TRUNCATED.to_bytes(), b"1").map_err(failed)?;
    }
    for &rule in &request.ignored_rules {
        transaction.ignore_rule(rule);
    }
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
    transaction.process_request_body(&body).map_err(failed)
}

/// The phases of a request that nobody has.
pub(super) fn placeholder_request(transaction: &mut Transaction) -> Result<(), InspectionError> {
    let nobody = (UNKNOWN_ADDRESS.as_bytes(), 0);
    transaction
        .set_connection(nobody, nobody)
        .and_then(|()| transaction.set_request_line(b"GET", b"/", b"1.1"))
        .map_err(failed)?;
    for (name, value) in PLACEHOLDER_HEADERS {
        transaction.add_request_header(name.as_bytes(), value.as_bytes()).map_err(failed)?;
    }
    // What they think of a request that nobody sent is of no interest.
    transaction.process_request_headers(0).map_err(failed)?;
    transaction.forget_intervention();
    transaction.process_request_body(b"").map_err(failed)?;
    transaction.forget_intervention();
    Ok(())
}

/// The address as rules see it.
fn address(end: Endpoint) -> String {
    end.address.map_or_else(|| UNKNOWN_ADDRESS.to_owned(), |address| address.to_string())
}
