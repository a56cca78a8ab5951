//! Writing whole lines to a file that may be full.

use std::io::{self, Write};

/// A writer of whole lines, one call of the system for each.
pub(super) struct Lines<W> {
    out: W,
    /// Only a part of the last line was written: the next one must not be joined to it.
    is_torn: bool,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, is_torn: false }
    }

    /// Writes a line, its line break included.
    ///
    /// # Errors
    /// When not all of it could be written.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let joined;
        let line = if self.is_torn {
            joined = [b"\n", line].concat();
            &joined
        } else {
            line
        };
        let mut rest = line;
        while !rest.is_empty() {
            let failed = match self.out.write(rest) {
                Ok(written @ 1..) => {
                    rest = rest.get(written..).unwrap_or_default();
                    continue;
                }
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.is_torn |= rest.len() < line.len();
            return Err(failed);
        }
        self.is_torn = false;
        Ok(())
    }
}
