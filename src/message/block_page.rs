//! The page that a client gets in place of a denied message: the operator's own, with the transaction's identifier and
//! the status filled in.
//!
//! HAProxy's `lf-string`, which shows the page, writes control characters as `%0A` and such, so the page has none.

use std::fs;
use std::io;
use std::path::Path;

/// The operator's page, with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPage {
    /// The page on one line.
    page: String,
    /// The elements of [`BROKEN_BY_BLANKS`] that had more than one line.
    broken: Vec<&'static str>,
}

/// The elements in which a line break means something else than a blank.
const BROKEN_BY_BLANKS: [&str; 3] = ["pre", "script", "textarea"];

/// The placeholder for the transaction's identifier, by which the log can be searched.
const ID: &str = "{{id}}";

/// The placeholder for the status.
const STATUS: &str = "{{status}}";

impl BlockPage {
    /// Reads a page of at most `max` bytes. Each line break and each other control character becomes a blank.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than `max`, or is not UTF-8.
    pub fn read(path: &Path, max: usize) -> io::Result<Self> {
        let page = fs::read_to_string(path)?;
        if page.len() > max {
            let cause = format!("{} bytes are more than fit in an answer ({max})", page.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, cause));
        }
        Ok(Self::new(&page))
    }

    fn new(page: &str) -> Self {
        let lower = page.to_ascii_lowercase();
        let has_lines = |element: &&str| {
            let starts =
                lower.match_indices(&format!("<{element}")).map(|(start, _)| start).collect::<Vec<_>>();
            starts.into_iter().filter_map(|start| lower.get(start..)).any(|rest| {
                rest.split(&format!("</{element}")).next().is_some_and(|content| content.contains('\n'))
            })
        };
        let broken = BROKEN_BY_BLANKS.into_iter().filter(has_lines).collect();
        Self {
            page: page.replace("\r\n", " ").replace(|char: char| char.is_control() && char != '\t', " "),
            broken,
        }
    }

    /// The elements that may not look, or work, as they are meant, because their lines were joined.
    #[must_use]
    pub fn broken_elements(&self) -> &[&'static str] {
        &self.broken
    }

    /// Returns the page for one denial. Neither `id` nor `status` holds bytes of a peer, so nothing is escaped.
    #[must_use]
    pub fn fill(&self, id: &str, status: u16) -> String {
        self.page.replace(ID, id).replace(STATUS, &status.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_as_often_as_they_are_there() {
        let page = BlockPage::new("{{status}}: {{id}} {{id}} {{other}}");
        assert_eq!(page.fill("abc", 403), "403: abc abc {{other}}");
    }

    #[test]
    fn a_page_has_one_line() {
        let page = BlockPage::new("<p>\r\n\ta\n\nb\x0c\u{e9}</p>\n<PRE>one line</pre>");
        assert_eq!(page.fill("", 403), "<p> \ta  b \u{e9}</p> <PRE>one line</pre>");
        assert!(page.broken_elements().is_empty());
        let page = BlockPage::new("<Script>\n// a\n b()</script><pre>a</pre>\n<textarea>a\nb</textarea>");
        assert_eq!(page.broken_elements(), ["script", "textarea"]);
    }
}
