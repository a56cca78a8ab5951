//! From the arguments of a check-response to a [`Response`].

use actors::Failure;
use bytes::Bytes;

use super::fields::{Field, Fields};
use super::{invalid, share_id};
use crate::message::response::Response;

/// Makes a response of the arguments of a message in `payload`; `id` becomes its identifier if the transaction is gone.
///
/// # Errors
/// When an argument is missing or has a value that a rule could misread.
pub(super) fn response(fields: &Fields<'_>, payload: &Bytes, id: String) -> Result<Response, Failure> {
    let status = fields.optional(Field::Status, "a status", |value| match value.bytes() {
        Some(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        None => u16::try_from(value.unsigned()?).ok(),
    })?;
    let status = status.ok_or_else(|| invalid("no argument status"))?;
    let version = match fields.text(Field::Version)? {
        Some(version) => payload.slice_ref(version.strip_prefix(b"HTTP/").unwrap_or(version)),
        None => Bytes::from_static(b"1.1"),
    };
    let body = fields.bytes(Field::Body)?.unwrap_or_default();
    let body_size = fields.optional(Field::BodySize, "a size", |value| value.unsigned())?;
    Ok(Response {
        id,
        transaction: share_id(fields, payload)?,
        status,
        version,
        headers: fields.headers(payload)?,
        truncated: body_size.is_some_and(|size| size > body.len() as u64),
        body: payload.slice_ref(body),
        application: fields.bytes(Field::Application)?.map(|name| payload.slice_ref(name)),
        options: fields.options()?,
        payload: payload.clone(),
    })
}
