//! The phases of a response: 3 (headers) and 4 (body).

use super::{failed, text};
use crate::ffi::intervention::Intervention;
use crate::ffi::v3::Transaction;
use crate::message::response::Response;
use crate::modsecurity::error::InspectionError;

/// Feeds the response to the library, phase by phase, and asks after each whether a rule intervenes.
///
/// # Errors
/// When the library throws an exception, or the headers are malformed.
pub(super) fn phases(
    transaction: &mut Transaction,
    response: &Response,
) -> Result<Option<Intervention>, InspectionError> {
    // msc_add_response_header before msc_process_response_headers, which runs phase 3 over the headers.
    for header in response.headers.iter() {
        let (name, value) = header.map_err(|cause| InspectionError(cause.to_string()))?;
        transaction.add_response_header(name, value).map_err(failed)?;
    }
    let protocol = text(&[b"HTTP/", &response.version[..]].concat())?;
    transaction.process_response_headers(response.status, &protocol).map_err(failed)?;
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    // msc_append_response_body may intervene by itself, when the body is above SecResponseBodyLimit.
    if !response.body.is_empty() {
        transaction.append_response_body(&response.body).map_err(failed)?;
        if let Some(found) = transaction.intervention().map_err(failed)? {
            return Ok(Some(found));
        }
    }
    // msc_process_response_body also without a body: phase 4 runs in it.
    transaction.process_response_body().map_err(failed)?;
    transaction.intervention().map_err(failed)
}
