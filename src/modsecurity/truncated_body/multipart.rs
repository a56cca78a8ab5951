//! The ending of a multipart body (RFC 7578), as both engines read it: line by line.

/// The name of a part or file that the ending adds.
const NAME: &[u8] = b"\"x\"";

const DISPOSITION: &[u8] = b"content-disposition";

/// Returns the bytes that complete the body: they close the part that was cut, and end in the last delimiter.
pub(super) fn ending(content_type: &[u8], body: &[u8]) -> Vec<u8> {
    let Some(boundary) = boundary(content_type) else { return Vec::new() };
    let delimiter = [b"--", boundary].concat();
    let last = [&delimiter[..], b"--\r\n"].concat();
    let mut lines = body.split_inclusive(|&byte| byte == b'\n').peekable();
    let mut place = Place::Before;
    let mut headers = Headers::default();
    while let Some(line) = lines.next_if(|line| line.ends_with(b"\n")) {
        let text = line.trim_ascii_end();
        place = match (place, line.strip_prefix(&delimiter[..])) {
            (Place::Headers, _) if text.is_empty() => Place::EmptyPart,
            (Place::Headers, _) => {
                headers.add(text);
                Place::Headers
            }
            (Place::Before | Place::Data, Some(b"\r\n" | b"\n")) => {
                headers = Headers::default();
                Place::Headers
            }
            (Place::Before | Place::Data, Some(b"--\r\n" | b"--\n")) => return Vec::new(),
            (Place::Before, _) => Place::Before,
            (Place::EmptyPart | Place::Data | Place::LooseData, _) if line.ends_with(b"\r\n") => Place::Data,
            (Place::EmptyPart | Place::Data | Place::LooseData, _) => Place::LooseData,
        };
    }
    let cut = lines.next().unwrap_or_default();
    let behind = cut.strip_prefix(&delimiter[..]);
    let missing = delimiter.strip_prefix(cut);
    let new_part = |missing: &[u8]| [missing, &Headers::default().ending(b""), b"\r\n", &last].concat();
    match (place, missing, behind) {
        (Place::Headers, _, _) => [&headers.ending(cut)[..], b"\r\n", &last].concat(),
        // A body without parts is none for the engines.
        (Place::Before, Some(missing), _) => new_part(&[missing, b"\r\n"].concat()),
        (Place::Before, _, Some(b"")) => new_part(b"\r\n"),
        (Place::Data, Some(missing), _) => [missing, b"--\r\n"].concat(),
        (Place::Before | Place::Data, _, Some(b"\r")) => new_part(b"\n"),
        (Place::Before | Place::Data, _, Some(behind)) => {
            b"--\r\n".strip_prefix(behind).unwrap_or_default().to_vec()
        }
        (Place::Before, None, None) => Vec::new(),
        (Place::EmptyPart | Place::Data | Place::LooseData, _, _) => [line_end(cut), &last[..]].concat(),
    }
}

/// Where a line stands.
#[derive(Clone, Copy)]
enum Place {
    /// Before the first delimiter.
    Before,
    /// Among the headers of a part.
    Headers,
    /// Behind the headers: a delimiter cannot follow at once.
    EmptyPart,
    /// In the part's data, behind a line.
    Data,
    /// Behind a line of data that lacks the carriage return: a delimiter cannot follow it.
    LooseData,
}

fn line_end(line: &[u8]) -> &'static [u8] {
    if line.ends_with(b"\r") { b"\n" } else { b"\r\n" }
}

/// The boundary of a multipart body (RFC 2046, 5.1.1).
fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    let name = b"boundary=";
    let at = content_type.windows(name.len()).position(|word| word.eq_ignore_ascii_case(name))?;
    let value = content_type.get(at + name.len()..)?;
    let boundary = match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|&byte| byte == b'"').next()?,
        None => value.split(|&byte| byte == b';').next()?.trim_ascii_end(),
    };
    (!boundary.is_empty()).then_some(boundary)
}

/// The headers of a part so far.
#[derive(Default)]
struct Headers {
    /// In lower case.
    names: Vec<Vec<u8>>,
}

impl Headers {
    fn add(&mut self, line: &[u8]) {
        self.names.extend(line.split(|&byte| byte == b':').next().map(<[u8]>::to_ascii_lowercase));
    }

    fn has_disposition(&self) -> bool {
        self.names.iter().any(|name| name == DISPOSITION)
    }

    /// Returns the bytes that complete the line that was cut and the headers, with the empty line behind them.
    fn ending(mut self, cut: &[u8]) -> Vec<u8> {
        let line = match cut.iter().position(|&byte| byte == b':') {
            _ if cut.is_empty() => Vec::new(),
            // The empty line itself.
            _ if cut == b"\r" => return b"\n".to_vec(),
            Some(_) if cut.ends_with(b"\r") => b"\n".to_vec(),
            Some(colon) => {
                let (name, value) = cut.split_at(colon);
                let value = value.get(1..).unwrap_or_default().trim_ascii_start();
                let is_disposition = name.eq_ignore_ascii_case(DISPOSITION);
                let missing = if is_disposition { rest_of_disposition(value) } else { Vec::new() };
                [&missing[..], b"\r\n"].concat()
            }
            None => self.rest_of_name(cut),
        };
        self.add(&[cut, &line].concat());
        let disposition = match self.has_disposition() {
            true => Vec::new(),
            false => [b"Content-Disposition:", &rest_of_disposition(b"")[..], b"\r\n"].concat(),
        };
        [&line[..], &disposition, b"\r\n"].concat()
    }

    /// Returns the bytes that complete a header of which a part of the name came. The header becomes Content-Disposition, if
    /// the name allows it and the part lacks that one.
    fn rest_of_name(&self, begun: &[u8]) -> Vec<u8> {
        let begun = begun.to_ascii_lowercase();
        match DISPOSITION.strip_prefix(&begun[..]) {
            Some(missing) if !self.has_disposition() => {
                [missing, b":", &rest_of_disposition(b"")[..], b"\r\n"].concat()
            }
            _ => {
                let mut name = begun.clone();
                while self.names.contains(&name) {
                    name.push(b'x');
                }
                [name.get(begun.len()..).unwrap_or_default(), b": x\r\n"].concat()
            }
        }
    }
}

/// Returns the bytes that complete the value `form-data; name="…"; filename="…"`.
fn rest_of_disposition(value: &[u8]) -> Vec<u8> {
    let named = [b"; name=", NAME].concat();
    let kind = b"form-data";
    let Some(mut rest) = value.strip_prefix(kind) else {
        return kind.strip_prefix(value).map(|missing| [missing, &named].concat()).unwrap_or_default();
    };
    let mut names: Vec<&[u8]> = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        let has_name = names.contains(&&b"name"[..]);
        let Some(parameter) = rest.strip_prefix(b";") else {
            return if rest.is_empty() && !has_name { named } else { Vec::new() };
        };
        let parameter = parameter.trim_ascii_start();
        let Some(equals) = parameter.iter().position(|&byte| byte == b'=') else {
            return rest_of_parameter(parameter, &names);
        };
        let (name, value) = parameter.split_at(equals);
        names.push(name.trim_ascii_end());
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        let named = if names.contains(&&b"name"[..]) { Vec::new() } else { named.clone() };
        rest = match value.split_first() {
            None => return [NAME, &named].concat(),
            Some((&quote @ (b'"' | b'\''), quoted)) => match behind_quote(quoted, quote) {
                Ok(behind) => behind,
                Err(missing) => return [&missing[..], &named].concat(),
            },
            Some(_) => value.iter().position(|&byte| byte == b';').map_or(b"", |end| value.split_at(end).1),
        };
    }
}

/// Returns the bytes that complete a parameter of which a part of the name came.
fn rest_of_parameter(begun: &[u8], names: &[&[u8]]) -> Vec<u8> {
    let name = begun.trim_ascii_end();
    for known in [&b"name"[..], b"filename"] {
        if let (Some(missing), false) = (known.strip_prefix(name), names.contains(&known)) {
            let named =
                if known == b"name" || names.contains(&&b"name"[..]) { &b""[..] } else { b"; name=\"x\"" };
            return [missing, b"=", NAME, named].concat();
        }
    }
    Vec::new()
}

/// Returns the text behind the closing quote, or the bytes that complete a text without one.
fn behind_quote(quoted: &[u8], quote: u8) -> Result<&[u8], Vec<u8>> {
    // libmodsecurity takes no empty name.
    if quoted.is_empty() {
        return Err(vec![b'x', quote]);
    }
    let mut at = 0;
    while let Some(&byte) = quoted.get(at) {
        at += 1;
        if byte == quote {
            return Ok(quoted.get(at..).unwrap_or_default());
        }
        let is_escaped = matches!(quoted.get(at), Some(&next) if next == quote || next == b'\\');
        if byte == b'\\' {
            match quoted.get(at) {
                None => return Err(vec![b'\\', quote]),
                Some(_) => at += usize::from(is_escaped),
            }
        }
    }
    Err(vec![quote])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=xy";
    const DATA: &str = "--xy\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";

    fn end(body: &str) -> String {
        String::from_utf8(ending(TYPE, body.as_bytes())).unwrap()
    }

    #[test]
    fn a_part_that_was_cut_ends() {
        for (data, missing) in [
            ("", "\r\n--xy--\r\n"),
            ("hal", "\r\n--xy--\r\n"),
            ("hal\r", "\n--xy--\r\n"),
            ("hal\r\n", "--xy--\r\n"),
            ("hal\r\n--x", "y--\r\n"),
            ("hal\r\n--xy", "--\r\n"),
            ("hal\r\n--xy-", "-\r\n"),
            ("hal\r\n--xy--", "\r\n"),
            ("hal\r\n--xy--\r", "\n"),
            ("hal\r\n--xy--\r\n", ""),
            ("hal\r\n--z", "\r\n--xy--\r\n"),
            ("--x", "\r\n--xy--\r\n"),
            ("hal\n", "\r\n--xy--\r\n"),
            ("hal\n--x", "\r\n--xy--\r\n"),
        ] {
            assert_eq!(end(&format!("{DATA}{data}")), missing, "{data:?}");
        }
    }

    #[test]
    fn headers_that_were_cut_become_whole() {
        let part = "Content-Disposition: form-data; name=\"x\"\r\n\r\n\r\n--xy--\r\n";
        assert_eq!(end("--x"), format!("y\r\n{part}").replace("n: f", "n:f"));
        for (headers, missing) in [
            ("X: y\r\nC", "ontent-disposition:form-data; name=\"x\"\r\n\r\n"),
            ("X: y\r\nX", "x: x\r\nContent-Disposition:form-data; name=\"x\"\r\n\r\n"),
            ("X: y", "\r\nContent-Disposition:form-data; name=\"x\"\r\n\r\n"),
            ("Content-Disposition: fo", "rm-data; name=\"x\"\r\n\r\n"),
            ("Content-Disposition: form-data", "; name=\"x\"\r\n\r\n"),
            ("Content-Disposition: form-data;", "name=\"x\"\r\n\r\n"),
            ("Content-Disposition: form-data; na", "me=\"x\"\r\n\r\n"),
            ("Content-Disposition: form-data; name", "=\"x\"\r\n\r\n"),
            ("Content-Disposition: form-data; name=", "\"x\"\r\n\r\n"),
            ("Content-Disposition: form-data; name=\"", "x\"\r\n\r\n"),
            ("Content-Disposition: form-data; name=\"a\\", "\\\"\r\n\r\n"),
            ("Content-Disposition: form-data; name=\"a\";", "filename=\"x\"\r\n\r\n"),
            ("Content-Disposition: form-data; name=\"a\"; filename=\"b", "\"\r\n\r\n"),
            ("Content-Disposition: form-data; filename=\"b", "\"; name=\"x\"\r\n\r\n"),
            ("Content-Disposition: form-data; name=\"a\"\r", "\n\r\n"),
            ("Content-Disposition: form-data; name=\"a\"\r\n", "\r\n"),
            ("Content-Disposition: form-data; name=\"a\"\r\n\r", "\n"),
            ("Content-Disposition: form-data; name=\"a\"\r\nContent-Ty", ": x\r\n\r\n"),
        ] {
            assert_eq!(end(&format!("--xy\r\n{headers}")), format!("{missing}\r\n--xy--\r\n"), "{headers:?}");
        }
    }

    #[test]
    fn other_bodies_stay_as_they_are() {
        for other in [&b"text/plain"[..], b"multipart/form-data", b"multipart/x; boundary="] {
            assert_eq!(ending(other, b"--xy\r\nA: b\r\n\r\nhal"), b"");
        }
        assert_eq!(end("no delimiter"), "");
    }

    #[test]
    fn boundaries() {
        assert_eq!(boundary(b"Multipart/Mixed; BOUNDARY=\"a b\"; x=y"), Some(&b"a b"[..]));
        assert_eq!(boundary(b"multipart/mixed; boundary=ab ; x=y"), Some(&b"ab"[..]));
    }
}
