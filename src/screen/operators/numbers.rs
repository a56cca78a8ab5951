//! Operators that compare numbers, which both sides are read as, as C reads them.

use crate::rules::version::EngineVersion;

/// A comparison, and the number on its right.
#[derive(Debug)]
pub(super) struct Number {
    comparison: Comparison,
    reading: Reading,
    right: i64,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// How a text becomes a number.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// `atoi`: the lowest 32 bits of 64.
    Low32,
    /// `std::stoi`: 0 when it does not fit in 32 bits.
    Exact32,
    /// `atoll`.
    Whole64,
}

impl Number {
    /// The operator of this name in small letters, if it is one of these.
    pub(super) fn new(name: &str, right: &[u8], version: EngineVersion) -> Option<Self> {
        let comparison = match name {
            "eq" => Comparison::Equal,
            "gt" => Comparison::Greater,
            "ge" => Comparison::GreaterOrEqual,
            "lt" => Comparison::Less,
            "le" => Comparison::LessOrEqual,
            _ => return None,
        };
        let reading = match (version, comparison) {
            (EngineVersion::V2, _) => Reading::Low32,
            (EngineVersion::V3, Comparison::Equal) => Reading::Exact32,
            (EngineVersion::V3, _) => Reading::Whole64,
        };
        Some(Self { comparison, reading, right: reading.read(right) })
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        let left = self.reading.read(value);
        match self.comparison {
            Comparison::Equal => left == self.right,
            Comparison::Greater => left > self.right,
            Comparison::GreaterOrEqual => left >= self.right,
            Comparison::Less => left < self.right,
            Comparison::LessOrEqual => left <= self.right,
        }
    }
}

impl Reading {
    fn read(self, text: &[u8]) -> i64 {
        let (number, fits) = long(text);
        match self {
            #[allow(clippy::cast_possible_truncation)]
            Self::Low32 => i64::from(number as i32),
            Self::Exact32 if fits && i32::try_from(number).is_ok() => number,
            Self::Exact32 => 0,
            Self::Whole64 => number,
        }
    }
}

/// `strtol` to the base of ten: blanks, a sign, digits, whatever follows. The nearest number of 64 bits, and whether it
/// is the number itself; 0 without digits.
fn long(text: &[u8]) -> (i64, bool) {
    let mut rest = text;
    while let [b' ' | b'\t'..=b'\r', behind @ ..] = rest {
        rest = behind;
    }
    let is_negative = rest.first() == Some(&b'-');
    if let [b'-' | b'+', behind @ ..] = rest {
        rest = behind;
    }
    let mut number: i64 = 0;
    for digit in rest.iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0')) {
        let next = number.checked_mul(10);
        let next =
            next.and_then(|next| if is_negative { next.checked_sub(digit) } else { next.checked_add(digit) });
        match next {
            Some(next) => number = next,
            None => return (if is_negative { i64::MIN } else { i64::MAX }, false),
        }
    }
    (number, true)
}
