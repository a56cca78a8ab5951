//! Repetitions.

use regex_syntax::hir::{Hir, Repetition};

use super::{Reader, Unknown};

/// The most that PCRE2 takes as a number of repetitions.
const MOST: u32 = 65535;

impl Reader<'_> {
    /// `part` with the repetitions that follow. Whether one is greedy, lazy or possessive makes no difference to what
    /// can match, except that a possessive one matches less.
    pub(super) fn repeated(&mut self, part: Hir) -> Result<Hir, Unknown> {
        let mut part = part;
        loop {
            let (min, max) = match self.peek() {
                Some(b'*') => (0, None),
                Some(b'+') => (1, None),
                Some(b'?') => (0, Some(1)),
                Some(b'{') => match self.counted()? {
                    Some(counts) => counts,
                    None => return Ok(part),
                },
                _ => return Ok(part),
            };
            self.at += 1;
            if !self.take(b"?") {
                self.take(b"+");
            }
            part = Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(part) });
        }
    }

    /// `{2}`, `{2,}` or `{2,5}`, up to its last byte; `None` when the brace stands for itself.
    #[allow(clippy::type_complexity)]
    fn counted(&mut self) -> Result<Option<(u32, Option<u32>)>, Unknown> {
        let inside = self.rest().get(1..).unwrap_or_default();
        let Some(length) = inside.iter().position(|&byte| byte == b'}') else { return Ok(None) };
        let inside = inside.get(..length).unwrap_or_default();
        let (low, high) = match inside.iter().position(|&byte| byte == b',') {
            None => (inside, None),
            Some(comma) => {
                (inside.get(..comma).unwrap_or_default(), Some(inside.get(comma + 1..).unwrap_or_default()))
            }
        };
        let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        if !is_number(low) || !high.is_none_or(|high| high.is_empty() || is_number(high)) {
            // Newer versions of PCRE2 read `{,5}` and `{ 2 }` as repetitions, older ones as text.
            let may_count =
                inside.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b' ' | b'\t'))
                    && inside.iter().any(u8::is_ascii_digit);
            return if may_count { Err(self.unknown("a brace of either meaning")) } else { Ok(None) };
        }
        let number = |text: &[u8]| {
            let text = std::str::from_utf8(text).unwrap_or_default();
            text.parse::<u32>().ok().filter(|&number| number <= MOST)
        };
        let counts = match (number(low), high) {
            (Some(low), None) => (low, Some(low)),
            (Some(low), Some([])) => (low, None),
            (Some(low), Some(high)) => match number(high) {
                Some(high) if low <= high => (low, Some(high)),
                _ => return Err(self.unknown("a wrong count")),
            },
            (None, _) => return Err(self.unknown("a wrong count")),
        };
        self.at += length + 1;
        Ok(Some(counts))
    }
}

/// Any number of `part`, or none.
pub(super) fn any_number(part: Hir) -> Hir {
    Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(part) })
}
