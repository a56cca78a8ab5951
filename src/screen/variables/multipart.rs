//! Multipart.

use super::{HandOver, Variables};

impl Variables<'_> {
    pub(super) fn read_multipart(&mut self, _body: &[u8]) -> Result<(), HandOver> {
        Err(HandOver::Multipart)
    }
}
