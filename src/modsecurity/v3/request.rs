//! The phases of a request.

use std::ffi::CString;

use super::{failed, text};
use crate::ffi::intervention::Intervention;
use crate::ffi::v3::Transaction;
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
        transaction.set_tx(TRUNCATED, c"1").map_err(failed)?;
    }
    for &rule in &request.ignored_rules {
        transaction.ignore_rule(rule).map_err(failed)?;
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
        let (name, value) = header.map_err(|cause| InspectionError(cause.to_string()))?;
        transaction.add_request_header(name, value).map_err(failed)?;
    }
    transaction.process_request_headers().map_err(failed)?;
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    let body = match request.truncated {
        true => {
            let processor = transaction.body_processor().map_err(failed)?;
            with_ending(processor, request.headers.first("content-type"), &request.body)
        }
        false => request.body[..].into(),
    };
    if !body.is_empty() {
        transaction.append_request_body(&body).map_err(failed)?;
        if let Some(found) = transaction.intervention().map_err(failed)? {
            return Ok(Some(found));
        }
    }
    transaction.process_request_body().map_err(failed)?;
    transaction.intervention().map_err(failed)
}

/// The phases of a request that nobody has.
pub(super) fn placeholder_request(transaction: &mut Transaction) -> Result<(), InspectionError> {
    let nobody = address(Endpoint::default())?;
    transaction.process_connection((&nobody, 0), (&nobody, 0)).map_err(failed)?;
    transaction.process_uri(c"/", c"GET", c"1.1").map_err(failed)?;
    for (name, value) in PLACEHOLDER_HEADERS {
        transaction.add_request_header(name.as_bytes(), value.as_bytes()).map_err(failed)?;
    }
    transaction.process_request_headers().map_err(failed)?;
    transaction.process_request_body().map_err(failed)?;
    // What they think of a request that nobody sent is of no interest.
    transaction.intervention().map_err(failed).map(drop)
}

/// The address as rules see it.
fn address(end: Endpoint) -> Result<CString, InspectionError> {
    let address = end.address.map_or_else(|| UNKNOWN_ADDRESS.to_owned(), |address| address.to_string());
    text(address.as_bytes())
}
