//! The phases of a response.

use super::{failed, text};
use crate::ffi::intervention::Intervention;
use crate::ffi::v3::Transaction;
use crate::message::response::Response;
use crate::modsecurity::error::InspectionError;

/// Feeds the response to the engine, phase by phase, until one intervenes.
pub(super) fn phases(
    transaction: &mut Transaction,
    response: &Response,
) -> Result<Option<Intervention>, InspectionError> {
    for header in response.headers.iter() {
        let (name, value) = header.map_err(|cause| InspectionError(cause.to_string()))?;
        transaction.add_response_header(name, value).map_err(failed)?;
    }
    let protocol = text(&[b"HTTP/", &response.version[..]].concat())?;
    transaction.process_response_headers(response.status, &protocol).map_err(failed)?;
    if let Some(found) = transaction.intervention().map_err(failed)? {
        return Ok(Some(found));
    }
    if !response.body.is_empty() {
        transaction.append_response_body(&response.body).map_err(failed)?;
        if let Some(found) = transaction.intervention().map_err(failed)? {
            return Ok(Some(found));
        }
    }
    transaction.process_response_body().map_err(failed)?;
    transaction.intervention().map_err(failed)
}
