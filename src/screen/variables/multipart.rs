//! Multipart bodies, of a strict form: what browsers, curl and the usual libraries send. Both engines read that form in the
//! same way, up to the differences below; what is not of the form is handed over.
//!
//! - libmodsecurity 3 loses the line ends within values, and keeps those of part headers.
//! - A file with an empty name is a file for 2.9, and a form's value for libmodsecurity 3.

use memchr::memmem;

use super::room::Origin;
use super::{EngineVersion, HandOver, Scalar, Variables};
use crate::message::request::Request;

/// Bytes of the longest boundary (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// Bytes of the longest line of a part's headers: the engines' buffers hold 4096.
const MAX_LINE: usize = 4000;

/// A part without its delimiters.
struct Part<'b> {
    name: &'b [u8],
    file_name: Option<&'b [u8]>,
    /// With the line ends.
    header_lines: Vec<&'b [u8]>,
    /// Without the line end that belongs to the next delimiter.
    data: &'b [u8],
}

impl Variables<'_> {
    pub(super) fn read_multipart(&mut self, body: &[u8]) -> Result<(), HandOver> {
        let boundary = boundary(self.request)?;
        let delimiter = [b"--", boundary].concat();
        let (mut rest, mut count, mut files, mut size) = (body, 0_usize, 0_usize, 0_usize);
        let mut has_unmatched = Unmatched::default();
        rest = rest.strip_prefix(&delimiter[..]).ok_or(HandOver::Multipart)?;
        while let Some(text) = rest.strip_prefix(b"\r\n") {
            let end = memmem::find(text, &delimiter).ok_or(HandOver::Multipart)?;
            let (text, next) = text.split_at_checked(end).ok_or(HandOver::Multipart)?;
            let text = text.strip_suffix(b"\r\n").ok_or(HandOver::Multipart)?;
            let part = part(text).ok_or(HandOver::Multipart)?;
            has_unmatched.note(part.data, boundary)?;
            if let Some(file_size) = self.add_part(&part)? {
                files += 1;
                size += file_size;
            }
            count += 1;
            rest = next.get(delimiter.len()..).unwrap_or_default();
        }
        if count == 0 || !matches!(rest, b"--" | b"--\r\n") {
            return Err(HandOver::Multipart);
        }
        let unmatched: &[u8] = match self.version {
            EngineVersion::V2 => {
                if has_unmatched.any {
                    b"1"
                } else {
                    b"0"
                }
            }
            // Each delimiter behind the first sets it to 2, but for a last one that no line end follows.
            EngineVersion::V3 if rest.len() > 2 => b"2",
            EngineVersion::V3 if has_unmatched.last => b"1",
            EngineVersion::V3 => {
                if count > 1 {
                    b"2"
                } else {
                    b"0"
                }
            }
        };
        self.room.set(Scalar::MultipartUnmatchedBoundary, unmatched);
        self.room.set(Scalar::MultipartStrictError, b"0");
        if files > 0 {
            self.room.set_number(Scalar::FilesCombinedSize, size, "");
        }
        Ok(())
    }

    /// Adds the variables of a part. Returns the size of a file.
    fn add_part(&mut self, part: &Part<'_>) -> Result<Option<usize>, HandOver> {
        let is_2 = self.version == EngineVersion::V2;
        let name = self.room.copy(part.name)?;
        for line in &part.header_lines {
            let line = if is_2 { line.strip_suffix(b"\r\n").unwrap_or(line) } else { line };
            let line = self.room.copy(line)?;
            self.room.push(Origin::PartHeader, name, line);
        }
        match part.file_name {
            Some(file_name) if is_2 || !file_name.is_empty() => {
                let file_name = self.room.copy(file_name)?;
                self.room.push(Origin::File, name, file_name);
                Ok(Some(part.data.len()))
            }
            _ => {
                let value = self.room.add(|text| match self.version {
                    EngineVersion::V2 => text.extend_from_slice(part.data),
                    EngineVersion::V3 => push_without_line_ends(part.data, text),
                })?;
                self.room.push(Origin::Multipart, name, value);
                Ok(None)
            }
        }
    }
}

/// The boundary, from a Content-Type that has nothing else.
fn boundary(request: &Request) -> Result<&[u8], HandOver> {
    let mut kinds = request.headers.iter().filter_map(Result::ok);
    let mut kinds = kinds.by_ref().filter(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
    let (first, others) = (kinds.next(), kinds.next());
    if others.is_some() {
        return Err(HandOver::ContentTypes);
    }
    let found = first.and_then(|(_, value)| {
        let (kind, parameter) = value.split_at_checked(MEDIA_TYPE.len())?;
        let parameter = trim(trim(parameter).strip_prefix(b";")?).strip_prefix(b"boundary=")?;
        kind.eq_ignore_ascii_case(MEDIA_TYPE).then_some(parameter)
    });
    let is_valid = |text: &&[u8]| {
        let is_short = (1..=MAX_BOUNDARY).contains(&text.len());
        let has_name = text.windows(8).any(|word| word.eq_ignore_ascii_case(b"boundary"));
        is_short && !has_name && text.iter().all(|&byte| is_of_boundary(byte))
    };
    found.filter(is_valid).ok_or(HandOver::Multipart)
}

/// The type of forms with files.
const MEDIA_TYPE: &[u8] = b"multipart/form-data";

fn is_of_boundary(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte)
}

/// The text without blanks at its start.
fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// Reads a part; `None` for one that is not of the strict form.
fn part(text: &[u8]) -> Option<Part<'_>> {
    let mut rest = text;
    let mut header_lines = Vec::new();
    let mut names: Vec<&[u8]> = Vec::new();
    let mut disposition = None;
    loop {
        let end = memmem::find(rest, b"\r\n")?;
        let (line, tail) = rest.split_at_checked(end + 2)?;
        rest = tail;
        let line_text = line.get(..end)?;
        if line_text.is_empty() {
            break;
        }
        let (name, value) = header(line_text)?;
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"content-disposition") {
            disposition = Some(value);
        }
        names.push(name);
        header_lines.push(line);
    }
    let (name, file_name) = names_of(disposition?)?;
    Some(Part { name, file_name, header_lines, data: rest })
}

/// The name and the value of a part's header.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_value = |byte: &u8| !matches!(byte, 0..=0x08 | 0x0A..=0x1F | 0x7F);
    let is_modelled = !name.is_empty()
        && line.len() < MAX_LINE
        && !line.starts_with(b"--")
        && name.iter().all(is_token)
        && value.iter().all(is_value);
    is_modelled.then(|| (name, trim(value.get(1..).unwrap_or_default())))
}

/// The name and the file name in a Content-Disposition of the form `form-data; name="…"; filename="…"`.
fn names_of(value: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let rest = value.strip_prefix(b"form-data")?;
    let (name, rest) = parameter(rest, b"name=\"")?;
    if name.is_empty() {
        return None;
    }
    if rest.is_empty() {
        return Some((name, None));
    }
    let (file_name, rest) = parameter(rest, b"filename=\"")?;
    rest.is_empty().then_some((name, Some(file_name)))
}

/// A parameter in quotes, and what follows it.
fn parameter<'v>(text: &'v [u8], start: &[u8]) -> Option<(&'v [u8], &'v [u8])> {
    let text = trim(trim(text).strip_prefix(b";")?).strip_prefix(start)?;
    let end = text.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
    let (value, rest) = text.split_at_checked(end)?;
    Some((value, rest.strip_prefix(b"\"")?))
}

/// Adds what libmodsecurity 3 keeps of a value: its lines without their ends.
fn push_without_line_ends(data: &[u8], text: &mut Vec<u8>) {
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        let line = match line {
            [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] => line,
            line => line,
        };
        text.extend_from_slice(line);
    }
}

/// Lines that look like a delimiter, and are none.
#[derive(Default)]
struct Unmatched {
    /// One is somewhere in the body.
    any: bool,
    /// One is in the last part.
    last: bool,
}

impl Unmatched {
    /// Looks at the data of a part, in which the delimiter itself is not.
    fn note(&mut self, data: &[u8], boundary: &[u8]) -> Result<(), HandOver> {
        self.last = false;
        for line in data.split(|&byte| byte == b'\n') {
            let Some(text) = line.strip_prefix(b"--") else { continue };
            // With its end, the engines look at a line of at least four bytes before the first zero byte.
            let is_last = line.as_ptr_range().end == data.as_ptr_range().end;
            let end = if is_last { 2 } else { 1 };
            let length = text.iter().position(|&byte| byte == 0).unwrap_or(text.len() + end);
            if length < 2 {
                continue;
            }
            let space = text.iter().take_while(|byte| matches!(byte, b'\t'..=b'\r' | b' ')).count();
            if space > 0 && text.get(space..).is_some_and(|text| text.starts_with(boundary)) {
                return Err(HandOver::Multipart);
            }
            self.last = true;
        }
        self.any |= self.last;
        Ok(())
    }
}
