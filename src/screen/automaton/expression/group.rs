//! What stands in parentheses.

use regex_syntax::hir::Hir;

use super::{Options, Reader, Unknown};

impl Reader<'_> {
    /// What stands behind an opening parenthesis; `None` for options and comments.
    pub(super) fn group(&mut self) -> Result<Option<Hir>, Unknown> {
        if self.rest().starts_with(b"*") {
            return Err(self.unknown("a verb"));
        }
        if !self.take(b"?") {
            return if self.options.no_auto_capture { self.plain() } else { self.capturing() }.map(Some);
        }
        if self.take(b":") || self.take(b">") {
            return self.plain().map(Some);
        }
        if self.take(b"#") {
            while let Some(byte) = self.next() {
                if byte == b')' {
                    return Ok(None);
                }
            }
            return Err(self.unknown("a comment without end"));
        }
        for assertion in [&b"="[..], b"!", b"<=", b"<!"] {
            if self.take(assertion) {
                // Its groups count, and a back-reference may name them.
                self.plain()?;
                return Ok(Some(Hir::empty()));
            }
        }
        for (start, end) in [(&b"P<"[..], b'>'), (b"<", b'>'), (b"'", b'\'')] {
            if self.take(start) {
                while let Some(byte) = self.next() {
                    if byte == end {
                        return self.capturing().map(Some);
                    }
                }
                return Err(self.unknown("a name without end"));
            }
        }
        self.options_behind()
    }

    fn capturing(&mut self) -> Result<Hir, Unknown> {
        let number = self.groups.len();
        self.groups.push(None);
        let language = self.plain()?;
        if let Some(group) = self.groups.get_mut(number) {
            *group = Some(language.clone());
        }
        Ok(language)
    }

    fn plain(&mut self) -> Result<Hir, Unknown> {
        let language = self.alternatives()?;
        if !self.take(b")") {
            return Err(self.unknown("a parenthesis that is not closed"));
        }
        Ok(language)
    }

    /// `(?i)`, which holds up to the end of the group around it, or `(?i:…)`.
    fn options_behind(&mut self) -> Result<Option<Hir>, Unknown> {
        let before = self.options;
        let mut on = true;
        if self.take(b"^") {
            self.options = Options { dollar_endonly: before.dollar_endonly, ..Options::default() };
        }
        loop {
            match self.next() {
                Some(b'-') if on => on = false,
                Some(b'i') => self.options.caseless = on,
                Some(b's') => self.options.dotall = on,
                Some(b'm') => self.options.multiline = on,
                Some(b'n') => self.options.no_auto_capture = on,
                Some(b'x') => self.options.extended = on,
                Some(b')') => break,
                Some(b':') => {
                    let language = self.extended().and_then(|()| self.plain());
                    self.options = before;
                    return language.map(Some);
                }
                _ => return Err(self.unknown("a group of this kind")),
            }
        }
        self.extended()?;
        Ok(None)
    }

    fn extended(&self) -> Result<(), Unknown> {
        if self.options.extended { Err(self.unknown("an expression in the extended form")) } else { Ok(()) }
    }
}

/// No fewer groups than the expression has.
pub(super) fn count(expression: &[u8]) -> usize {
    expression.iter().filter(|&&byte| byte == b'(').count()
}
