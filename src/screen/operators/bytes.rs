//! Operators that match a value that is not made as it should be.

use super::NotModelled;

/// What the value should be.
#[derive(Debug)]
pub(super) enum Bytes {
    /// Of bytes that are allowed.
    Of(Box<[bool; 256]>),
    /// Of escapes with two hexadecimal digits, wherever a `%` is.
    UrlEncoded,
    /// UTF-8, as both engines see it.
    Utf8,
}

impl Bytes {
    /// The operator of this name in small letters.
    pub(super) fn new(name: &str, argument: &[u8]) -> Result<Self, NotModelled> {
        match name {
            "validatebyterange" => allowed(argument).map(|table| Self::Of(Box::new(table))),
            "validateurlencoding" => Ok(Self::UrlEncoded),
            "validateutf8encoding" => Ok(Self::Utf8),
            _ => Err(NotModelled(format!("@{name}"))),
        }
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Of(table) => !value.iter().all(|&byte| table.get(usize::from(byte)).is_some_and(|is| *is)),
            Self::UrlEncoded => has_broken_escape(value),
            Self::Utf8 => !is_utf8(value),
        }
    }
}

/// Numbers and ranges with commas between them. What the engines read otherwise than it is written is not modelled.
fn allowed(argument: &[u8]) -> Result<[bool; 256], NotModelled> {
    let wrong = || NotModelled(format!("@validateByteRange {}", String::from_utf8_lossy(argument)));
    let number = |text: &[u8]| {
        let text = std::str::from_utf8(text.trim_ascii()).unwrap_or_default();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|_| is_plain).ok_or_else(wrong)
    };
    let mut table = [false; 256];
    for item in argument.split(|&byte| byte == b',').filter(|item| !item.is_empty()) {
        let mut ends = item.splitn(2, |&byte| byte == b'-');
        let start = number(ends.next().unwrap_or_default())?;
        let end = ends.next().map_or(Ok(start), number)?;
        if start > end {
            return Err(wrong());
        }
        for byte in start..=end {
            if let Some(is_allowed) = table.get_mut(usize::from(byte)) {
                *is_allowed = true;
            }
        }
    }
    Ok(table)
}

fn has_broken_escape(value: &[u8]) -> bool {
    let mut rest = value;
    loop {
        match rest {
            [] => return false,
            [b'%', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = behind
            }
            [b'%', ..] => return true,
            [_, behind @ ..] => rest = behind,
        }
    }
}

/// The engines also take what four bytes can encode above U+10FFFF.
fn is_utf8(value: &[u8]) -> bool {
    let mut rest = value;
    loop {
        let Err(error) = std::str::from_utf8(rest) else { return true };
        match rest.get(error.valid_up_to()..) {
            Some([0xF4, 0x90..=0xBF, 0x80..=0xBF, 0x80..=0xBF, behind @ ..]) => rest = behind,
            _ => return false,
        }
    }
}
