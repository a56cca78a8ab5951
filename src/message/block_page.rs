//! The page that a client gets in place of a denied message: the operator's own, with the transaction's identifier and
//! the status filled in.

use std::fs;
use std::io;
use std::path::Path;

/// The operator's page, with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPage(String);

/// The placeholder for the transaction's identifier, by which the log can be searched.
const ID: &str = "{{id}}";

/// The placeholder for the status.
const STATUS: &str = "{{status}}";

impl BlockPage {
    /// Reads a page of at most `max` bytes.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than `max`, or is not UTF-8.
    pub fn read(path: &Path, max: usize) -> io::Result<Self> {
        let page = fs::read_to_string(path)?;
        if page.len() > max {
            let cause = format!("{} bytes are more than fit in an answer ({max})", page.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, cause));
        }
        Ok(Self(page))
    }

    /// Returns the page for one denial. Neither `id` nor `status` holds bytes of a peer, so nothing is escaped.
    #[must_use]
    pub fn fill(&self, id: &str, status: u16) -> String {
        self.0.replace(ID, id).replace(STATUS, &status.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_as_often_as_they_are_there() {
        let page = BlockPage("{{status}}: {{id}} {{id}} {{other}}".to_owned());
        assert_eq!(page.fill("abc", 403), "403: abc abc {{other}}");
    }
}
