//! What a backslash makes of the bytes behind it.

use regex_syntax::hir::{ClassBytes, Look};

use super::{Reader, Unknown, ranges};

/// The meaning of a backslash and what follows.
pub(super) enum Escape {
    Byte(u8),
    Class(ClassBytes),
    Look(Look),
    /// `\K`, `\E`: no text.
    Nothing,
    /// `\R`.
    LineEnd,
    /// `\Q`.
    Quoted,
    /// `\1`: the text of a group, from 1.
    Reference(usize),
}

impl Reader<'_> {
    /// Reads what stands behind a backslash.
    pub(super) fn escaped(&mut self, in_class: bool) -> Result<Escape, Unknown> {
        let start = self.at;
        let Some(byte) = self.next() else { return Err(self.unknown("a backslash at the end")) };
        Ok(match byte {
            b'a' => Escape::Byte(0x07),
            b'e' => Escape::Byte(0x1B),
            b'f' => Escape::Byte(0x0C),
            b'n' => Escape::Byte(b'\n'),
            b'r' => Escape::Byte(b'\r'),
            b't' => Escape::Byte(b'\t'),
            b'x' => Escape::Byte(self.hexadecimal()?),
            b'd' | b'D' | b'h' | b'H' | b's' | b'S' | b'v' | b'V' | b'w' | b'W' => {
                Escape::Class(shorthand(byte))
            }
            b'b' if in_class => Escape::Byte(0x08),
            b'b' => Escape::Look(Look::WordAscii),
            b'B' if !in_class => Escape::Look(Look::WordAsciiNegate),
            b'A' if !in_class => Escape::Look(Look::Start),
            b'z' if !in_class => Escape::Look(Look::End),
            // Also before a last line feed, of which "before any" is the superset.
            b'Z' if !in_class => Escape::Look(Look::EndLF),
            b'G' if !in_class => Escape::Look(Look::Start),
            b'K' | b'E' if !in_class => Escape::Nothing,
            b'R' if !in_class => Escape::LineEnd,
            b'Q' if !in_class => Escape::Quoted,
            b'C' if !in_class => Escape::Class(ranges(&[(0, 255)])),
            b'N' if !in_class && self.peek() != Some(b'{') => Escape::Class(ranges(&[(0, 9), (11, 255)])),
            b'0' => Escape::Byte(self.octal(0)?),
            b'1'..=b'9' => {
                self.at = start;
                return self.number(in_class);
            }
            byte if byte.is_ascii_alphanumeric() => {
                self.at = start;
                return Err(self.unknown("an escape"));
            }
            byte => Escape::Byte(byte),
        })
    }

    /// `\xH`, `\xHH`, `\x{H…}`, or the zero byte when no digit follows.
    fn hexadecimal(&mut self) -> Result<u8, Unknown> {
        if self.take(b"{") {
            let mut value: u32 = 0;
            let mut digits = 0;
            while let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) {
                self.at += 1;
                digits += 1;
                value = value.saturating_mul(16).saturating_add(digit);
            }
            return match u8::try_from(value) {
                Ok(value) if digits > 0 && self.take(b"}") => Ok(value),
                _ => Err(self.unknown("a code that is no byte")),
            };
        }
        let mut value = 0;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else { break };
            self.at += 1;
            value = value * 16 + digit;
        }
        u8::try_from(value).map_err(|_| self.unknown("a code that is no byte"))
    }

    /// At most two octal digits behind the one that has been read.
    fn octal(&mut self, first: u32) -> Result<u8, Unknown> {
        let mut value = first;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(8)) else { break };
            self.at += 1;
            value = value * 8 + digit;
        }
        u8::try_from(value).map_err(|_| self.unknown("a code that is no byte"))
    }

    /// A reference to a group: below 10, or when there are as many groups. The other numbers are octal or text, and not
    /// known here; in a class a number is octal.
    fn number(&mut self, in_class: bool) -> Result<Escape, Unknown> {
        if in_class {
            let Some(first @ 0..=7) = self.next().map(|byte| u32::from(byte) - u32::from(b'0')) else {
                return Err(self.unknown("a number"));
            };
            return self.octal(first).map(Escape::Byte);
        }
        let mut number = 0_usize;
        while let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(10)) {
            self.at += 1;
            number = number.saturating_mul(10).saturating_add(digit as usize);
        }
        if number < 10 && number <= self.total {
            Ok(Escape::Reference(number))
        } else {
            Err(self.unknown("a number"))
        }
    }
}

/// `\d`, `\h`, `\s`, `\v`, `\w`, and in capitals what they leave.
pub(super) fn shorthand(letter: u8) -> ClassBytes {
    let mut class = match letter.to_ascii_lowercase() {
        b'd' => ranges(&[(b'0', b'9')]),
        b'h' => ranges(&[(b'\t', b'\t'), (b' ', b' '), (0xA0, 0xA0)]),
        b's' => ranges(&[(b'\t', b'\r'), (b' ', b' ')]),
        b'v' => ranges(&[(b'\n', b'\r'), (0x85, 0x85)]),
        _ => ranges(&[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')]),
    };
    if letter.is_ascii_uppercase() {
        class.negate();
    }
    class
}
