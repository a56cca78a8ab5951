//! From the arguments of a check-request to a [`Request`].

use actors::Failure;
use bytes::Bytes;

use super::fields::{Field, Fields};
use super::{invalid, share_id};
use crate::message::request::Request;

/// Makes a request of the arguments of a message in `payload`; `id` becomes the transaction's identifier.
///
/// # Errors
/// When an argument is missing or has a value that a rule could misread.
pub(super) fn request(fields: &Fields<'_>, payload: &Bytes, id: String) -> Result<Request, Failure> {
    // `slice_ref` panics on bytes that are not part of the payload; the arguments all are.
    let share = |part: &[u8]| payload.slice_ref(part);
    let method = fields.text(Field::Method)?.filter(|method| !method.is_empty());
    let method = share(method.ok_or_else(|| invalid("no argument method"))?);
    let headers = fields.headers(payload)?;
    let uri = match (fields.text(Field::Path)?, fields.text(Field::Query)?) {
        (Some(path), None) => share(path),
        (Some(path), Some(query)) => [path, b"?", query].concat().into(),
        (None, Some(_)) => return Err(invalid("argument query without a path")),
        // A target of the form `host:port` (CONNECT) or `*` has no path, so HAProxy sends none.
        (None, None) if method == "CONNECT" => {
            Bytes::copy_from_slice(headers.first("host").unwrap_or_default())
        }
        (None, None) => Bytes::from_static(b"*"),
    };
    if uri.contains(&0) {
        return Err(invalid("the host has a zero byte"));
    }
    let version = match fields.text(Field::Version)? {
        Some(version) => share(version.strip_prefix(b"HTTP/").unwrap_or(version)),
        None => Bytes::from_static(b"1.1"),
    };
    let body = fields.bytes(Field::Body)?.unwrap_or_default();
    let body_size = fields.optional(Field::BodySize, "a size", |value| value.unsigned())?;
    Ok(Request {
        id,
        unique_id: share_id(fields, payload)?,
        client: fields.endpoint(Field::SourceAddress, Field::SourcePort)?,
        server: fields.endpoint(Field::TargetAddress, Field::TargetPort)?,
        method,
        uri,
        version,
        headers,
        truncated: body_size.is_some_and(|size| size > body.len() as u64),
        announced: body_size.unwrap_or(body.len() as u64),
        body: share(body),
        application: fields.bytes(Field::Application)?.map(|name| payload.slice_ref(name)),
        options: fields.options()?,
        ignored_rules: fields.ignored_rules()?,
        payload: payload.clone(),
    })
}
