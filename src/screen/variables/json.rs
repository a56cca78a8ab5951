//! JSON.

use super::{HandOver, Variables};

impl Variables<'_> {
    pub(super) fn read_json(&mut self, body: &[u8]) -> Result<(), HandOver> {
        if body.is_empty() { Ok(()) } else { Err(HandOver::Json) }
    }
}
