//! How each engine reads phrases.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Context, NotModelled};
use crate::rules::version::EngineVersion;

/// The engines keep the length of an argument, and ModSecurity 2.9 that of a line, in 16 bits.
const LONGEST_ARGUMENT: usize = 65_000;
/// ModSecurity 2.9 reads lines of up to 8 KB; the rest of a longer one is another.
const LONGEST_LINE: usize = 8_190;

/// The phrases of an argument: its words.
pub(super) fn argument(argument: &[u8], version: EngineVersion) -> Result<Vec<Vec<u8>>, NotModelled> {
    if argument.is_empty() || argument.len() > LONGEST_ARGUMENT {
        return Err(NotModelled("@pm with an argument of this length".to_owned()));
    }
    let content = content(argument, version)?.unwrap_or_else(|| argument.to_vec());
    let words = content.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
    Ok(words.map(<[u8]>::to_vec).collect())
}

/// The phrases of files: their lines.
pub(super) fn files(argument: &[u8], context: &Context<'_>) -> Result<Vec<Vec<u8>>, NotModelled> {
    let argument = std::str::from_utf8(argument);
    let names = argument.map_err(|_| NotModelled("@pmFromFile with a name that is not UTF-8".to_owned()))?;
    let is_remote = |name: &str| name.starts_with("http://") || name.starts_with("https://");
    let names: Vec<&str> = match context.version {
        EngineVersion::V2 => names.split_ascii_whitespace().collect(),
        EngineVersion::V3 => vec![names],
    };
    let mut phrases = Vec::new();
    for name in names {
        if is_remote(name) {
            return Err(NotModelled(format!("@pmFromFile {name}")));
        }
        let path = file(name, context)?;
        let text = fs::read(&path).map_err(|error| NotModelled(format!("{}: {error}", path.display())))?;
        if text.contains(&0) {
            return Err(NotModelled(format!("{}: a zero byte", path.display())));
        }
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let phrase = match context.version {
                EngineVersion::V2 => line2(line)?,
                EngineVersion::V3 => line3(line),
            };
            phrases.extend(phrase);
        }
    }
    Ok(phrases)
}

/// ModSecurity 2.9 looks for a file beside the rule's; libmodsecurity 3 in its working folder first, and it expands
/// patterns.
fn file(name: &str, context: &Context<'_>) -> Result<PathBuf, NotModelled> {
    let beside = context.folder.join(name);
    let is_plain = !name.bytes().any(|byte| b"*?[~$`\\\"'{} \t".contains(&byte));
    let is_in_doubt = context.version == EngineVersion::V3
        && (!is_plain || (Path::new(name).is_relative() && Path::new(name).exists()));
    if is_in_doubt { Err(NotModelled(format!("@pmFromFile {name}"))) } else { Ok(beside) }
}

/// A line for ModSecurity 2.9, which decodes it, takes blanks off its ends, and drops what is one byte long.
fn line2(line: &[u8]) -> Result<Option<Vec<u8>>, NotModelled> {
    if line.len() > LONGEST_LINE {
        return Err(NotModelled("@pmFromFile with a line this long".to_owned()));
    }
    let content = content(line, EngineVersion::V2)?.unwrap_or_else(|| line.to_vec());
    let mut phrase = content.as_slice();
    while let [first, behind @ ..] = phrase
        && is_space(*first)
    {
        phrase = behind;
    }
    while let [before @ .., last] = phrase
        && is_space(*last)
    {
        phrase = before;
    }
    Ok(Some(phrase).filter(|phrase| phrase.len() > 1 && phrase.first() != Some(&b'#')).map(<[u8]>::to_vec))
}

/// A line for libmodsecurity 3, which takes it as it is.
fn line3(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let is_comment = line.is_empty()
        || line
            .iter()
            .position(|&byte| byte == b'#')
            .is_some_and(|number_sign| line.iter().take(number_sign).all(|byte| is_space(*byte)));
    Some(line).filter(|_| !is_comment).map(<[u8]>::to_vec)
}

/// What an engine makes of a text with `|41 42|` (bytes by their codes) and escapes; `None` when it gives up, and takes
/// the text as it is.
fn content(text: &[u8], version: EngineVersion) -> Result<Option<Vec<u8>>, NotModelled> {
    let is_leading = |byte: u8| match version {
        EngineVersion::V2 => is_space(byte),
        EngineVersion::V3 => matches!(byte, b' ' | b'\t'),
    };
    let start = text.iter().position(|&byte| !is_leading(byte)).unwrap_or(text.len());
    let rest = text.get(start..).unwrap_or_default();
    let mut content = match rest {
        [b'"'] => return Err(NotModelled("@pm with a single quote sign".to_owned())),
        [b'"', inside @ .., b'"'] => inside.to_vec(),
        rest => rest.to_vec(),
    };
    if content.is_empty() {
        return Ok(None);
    }
    let Some(written) = decode(&mut content, version)? else { return Ok(None) };
    // What is decoded in place leaves the end of the text behind it, unless something has been counted.
    if let Some(written) = written {
        content.truncate(written);
    }
    let end = content.iter().position(|&byte| byte == 0).unwrap_or(content.len());
    content.truncate(end);
    Ok(Some(content))
}

/// Decodes in place. The length of the result, `None` when it is that of the text; no result when the engine gives up.
#[allow(clippy::type_complexity)]
fn decode(content: &mut [u8], version: EngineVersion) -> Result<Option<Option<usize>>, NotModelled> {
    let (mut in_codes, mut is_escaped, mut is_shorter) = (false, false, false);
    let mut high = None;
    let mut to = 0;
    for from in 0..content.len() {
        let Some(&byte) = content.get(from) else { break };
        let decoded = match byte {
            b'|' => {
                in_codes = !in_codes;
                None
            }
            b'\\' if !is_escaped => {
                is_escaped = true;
                None
            }
            byte if in_codes => {
                let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                // libmodsecurity 3 compares with the bytes 0 to 9 instead of the digits.
                let digit = digit.filter(|_| version == EngineVersion::V2 || !byte.is_ascii_digit());
                if version == EngineVersion::V3 && byte < 10 {
                    return Err(NotModelled("@pm with a control character among codes".to_owned()));
                }
                match (digit, high) {
                    (None, _) => None,
                    (Some(digit), None) => {
                        high = Some(digit);
                        None
                    }
                    (Some(digit), Some(first)) => {
                        high = None;
                        is_shorter = true;
                        Some(first << 4 | digit)
                    }
                }
            }
            byte if is_escaped => {
                if !matches!(byte, b':' | b';' | b'\\' | b'"') {
                    return Ok(None);
                }
                is_escaped = false;
                is_shorter = true;
                Some(byte)
            }
            byte => Some(byte),
        };
        if let (Some(decoded), Some(place)) = (decoded, content.get_mut(to)) {
            *place = decoded;
            to += 1;
        }
    }
    Ok(Some(Some(to).filter(|_| is_shorter && version == EngineVersion::V2)))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
