//! The page that takes the place of what was denied: the operator's own, with the transaction and the status filled in.

use std::fs;
use std::io;
use std::path::Path;

/// A page of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPage(String);

/// What stands for the transaction's identifier, by which the log can be searched.
const ID: &str = "{{id}}";

/// What stands for the status.
const STATUS: &str = "{{status}}";

impl BlockPage {
    /// Reads a page of at most so many bytes; it must be UTF-8.
    pub fn read(path: &Path, max: usize) -> io::Result<Self> {
        let page = fs::read_to_string(path)?;
        if page.len() > max {
            let cause = format!("{} bytes are more than fit in an answer ({max})", page.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, cause));
        }
        Ok(Self(page))
    }

    /// The page for one denial. Neither text holds anything of a peer's.
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
