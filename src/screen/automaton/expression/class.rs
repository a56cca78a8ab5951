//! Classes: `[…]`.

use regex_syntax::hir::{ClassBytes, ClassBytesRange};

use super::escape::Escape;
use super::{Reader, Unknown, ranges};

impl Reader<'_> {
    /// The class behind an opening bracket.
    pub(super) fn class(&mut self) -> Result<ClassBytes, Unknown> {
        let is_negated = self.take(b"^");
        let mut class = ClassBytes::empty();
        let mut is_first = true;
        loop {
            let start = self.at;
            let Some(byte) = self.next() else { return Err(self.unknown("a class without end")) };
            let low = match byte {
                b']' if !is_first => break,
                b'[' if matches!(self.peek(), Some(b':' | b'.' | b'=')) => match self.named()? {
                    Some(named) => {
                        class.union(&named);
                        self.no_range()?;
                        is_first = false;
                        continue;
                    }
                    None => b'[',
                },
                b'\\' => match self.member()? {
                    Ok(byte) => byte,
                    Err(members) => {
                        class.union(&members);
                        self.no_range()?;
                        is_first = false;
                        continue;
                    }
                },
                byte => byte,
            };
            is_first = false;
            let high =
                if self.rest().first() == Some(&b'-') && !matches!(self.rest().get(1), None | Some(b']')) {
                    self.at += 1;
                    match self.next() {
                        Some(b'\\') => match self.member()? {
                            Ok(byte) => byte,
                            Err(_) => return Err(self.unknown("a range up to a class")),
                        },
                        Some(b'[') if matches!(self.peek(), Some(b':' | b'.' | b'=')) => {
                            return Err(self.unknown("a range up to a class"));
                        }
                        Some(byte) => byte,
                        None => return Err(self.unknown("a class without end")),
                    }
                } else {
                    low
                };
            if high < low {
                self.at = start;
                return Err(self.unknown("a range from high to low"));
            }
            class.push(ClassBytesRange::new(low, high));
        }
        if self.options.caseless {
            class.case_fold_simple();
        }
        if is_negated {
            class.negate();
        }
        Ok(class)
    }

    /// What a backslash in a class makes: a byte, or several.
    fn member(&mut self) -> Result<Result<u8, ClassBytes>, Unknown> {
        match self.escaped(true)? {
            Escape::Byte(byte) => Ok(Ok(byte)),
            Escape::Class(class) => Ok(Err(class)),
            _ => Err(self.unknown("an escape in a class")),
        }
    }

    /// A hyphen behind several members stands for itself in some versions of PCRE2 and is an error in others.
    fn no_range(&self) -> Result<(), Unknown> {
        match self.rest() {
            [b'-', b']', ..] => Ok(()),
            [b'-', ..] => Err(self.unknown("a range from a class")),
            _ => Ok(()),
        }
    }

    /// `[:alpha:]`, behind its bracket; `None` when the bracket stands for itself.
    fn named(&mut self) -> Result<Option<ClassBytes>, Unknown> {
        let rest = self.rest();
        let Some(kind) = rest.first().copied() else { return Ok(None) };
        // PCRE2 looks for the end within the class: `[[:a]` is none.
        let Some(end) = rest.windows(2).skip(1).position(|two| two == [kind, b']']) else { return Ok(None) };
        let name = rest.get(1..=end).unwrap_or_default();
        if !name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'^') {
            return if name.contains(&b']') { Ok(None) } else { Err(self.unknown("a class by name")) };
        }
        let (is_negated, name) = match name {
            [b'^', name @ ..] => (true, name),
            name => (false, name),
        };
        let mut class = match name {
            b"lower" | b"upper" if self.options.caseless => ranges(&[(b'A', b'Z'), (b'a', b'z')]),
            b"alpha" => ranges(&[(b'A', b'Z'), (b'a', b'z')]),
            b"lower" => ranges(&[(b'a', b'z')]),
            b"upper" => ranges(&[(b'A', b'Z')]),
            b"alnum" => ranges(&[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
            b"ascii" => ranges(&[(0, 0x7F)]),
            b"blank" => ranges(&[(b'\t', b'\t'), (b' ', b' ')]),
            b"cntrl" => ranges(&[(0, 0x1F), (0x7F, 0x7F)]),
            b"digit" => ranges(&[(b'0', b'9')]),
            b"graph" => ranges(&[(b'!', b'~')]),
            b"print" => ranges(&[(b' ', b'~')]),
            b"punct" => ranges(&[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')]),
            b"space" => ranges(&[(b'\t', b'\r'), (b' ', b' ')]),
            b"word" => ranges(&[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')]),
            b"xdigit" => ranges(&[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
            _ => return Err(self.unknown("a class by name")),
        };
        if kind != b':' {
            return Err(self.unknown("a collating element"));
        }
        if is_negated {
            class.negate();
        }
        self.at += end + 3;
        Ok(Some(class))
    }
}
