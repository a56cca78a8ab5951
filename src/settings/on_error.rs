//! `--on-error`: the answer when nobody inspected a request.

use super::BadOption;
use crate::message::answer::OnError;

/// The status of a plain `deny`. 503 says that the service, not the request, is at fault.
const DEFAULT_STATUS: u16 = 503;

/// Reads `unset`, `deny` or `deny=STATUS`.
///
/// # Errors
/// When `value` is none of these, or the status is not from 400 to 599.
pub(super) fn parse(value: &str) -> Result<OnError, BadOption> {
    let status = match value.split_once('=') {
        None if value == "unset" => return Ok(OnError::Unset),
        None if value == "deny" => Some(DEFAULT_STATUS),
        Some(("deny", status)) => status.parse().ok().filter(|status| (400..=599).contains(status)),
        _ => None,
    };
    status.map(OnError::Deny).ok_or_else(|| {
        BadOption(format!(
            "--on-error: {value:?} is not unset, deny or deny=STATUS with a STATUS from 400 to 599"
        ))
    })
}
