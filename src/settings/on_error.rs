//! `--on-error`: what HAProxy is told when nobody inspected a request.

use super::BadOption;
use crate::message::answer::OnError;

/// The status of `deny` without one: the service, not the request, is at fault.
const DEFAULT_STATUS: u16 = 503;

/// `unset`, `deny` or `deny=STATUS`.
pub(super) fn parse(word: &str) -> Result<OnError, BadOption> {
    let status = match word.split_once('=') {
        None if word == "unset" => return Ok(OnError::Unset),
        None if word == "deny" => Some(DEFAULT_STATUS),
        Some(("deny", status)) => status.parse().ok().filter(|status| (400..=599).contains(status)),
        _ => None,
    };
    status.map(OnError::Deny).ok_or_else(|| {
        BadOption(format!(
            "--on-error: {word:?} is not unset, deny or deny=STATUS with a STATUS from 400 to 599"
        ))
    })
}
