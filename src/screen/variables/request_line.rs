//! The request line: method, protocol, and the pieces of the URI.

use std::ops::Range;

use memchr::{memchr, memrchr2};

use super::{EngineVersion, HandOver, Scalar, Variables};
use crate::screen::transformations::hex;

/// Bytes that the texts of a request may take beside those that it has itself, several times over.
const SPARE: usize = 64 * 1024;

impl Variables<'_> {
    pub(super) fn read_request_line(&mut self) -> Result<(), HandOver> {
        let (request, version) = (self.request, self.version);
        let uri = &request.uri[..];
        if [&request.method[..], uri, &request.version[..]].iter().any(|text| memchr(0, text).is_some()) {
            return Err(HandOver::ZeroByte);
        }
        if !uri.starts_with(b"/") && uri != b"*" || request.method.is_empty() {
            return Err(HandOver::Target);
        }
        let room = &mut *self.room;
        room.allow(4 * request.payload.len().max(request.body.len() + uri.len()) + SPARE);

        let method = room.copy(&request.method)?;
        room.set_span(Scalar::RequestMethod, Some(method));
        let protocol = room.add(|text| {
            text.extend_from_slice(b"HTTP/");
            text.extend_from_slice(&request.version);
        })?;
        room.set_span(Scalar::RequestProtocol, Some(protocol));
        let raw = room.copy(uri)?;
        room.set_span(Scalar::RequestUriRaw, Some(raw));
        let line = room.add(|text| {
            for part in [&request.method[..], b" ", uri, b" HTTP/", &request.version[..]] {
                text.extend_from_slice(part);
            }
        })?;
        room.set_span(Scalar::RequestLine, Some(line));

        let (path, query) = split(uri, version);
        let name = room.add(|text| decode(path, version, text))?;
        room.set_span(Scalar::RequestFilename, Some(name));
        let base = base(room.text(name), version);
        room.set_span(Scalar::RequestBasename, Some(name.part(base)));
        match (version, query) {
            (EngineVersion::V2, None) => room.set_span(Scalar::QueryString, None),
            (_, query) => {
                let query = room.copy(query.unwrap_or_default())?;
                room.set_span(Scalar::QueryString, Some(query));
            }
        }
        let whole = match version {
            EngineVersion::V2 => raw,
            EngineVersion::V3 => {
                let whole = uri.get(..path.len() + query.map_or(0, |query| query.len() + 1));
                room.add(|text| decode(whole.unwrap_or(uri), version, text))?
            }
        };
        room.set_span(Scalar::RequestUri, Some(whole));
        Ok(())
    }
}

/// The path and the query; libmodsecurity 3 leaves out what follows a `#`.
pub(super) fn split(uri: &[u8], version: EngineVersion) -> (&[u8], Option<&[u8]>) {
    let uri = match version {
        EngineVersion::V2 => uri,
        EngineVersion::V3 => memchr(b'#', uri).and_then(|end| uri.get(..end)).unwrap_or(uri),
    };
    match memchr(b'?', uri).and_then(|at| uri.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (uri, None),
    }
}

/// What follows the last slash or backslash. libmodsecurity 3 knows the path only up to a question mark at first, and
/// what it finds there stays where the whole path ends in a slash.
fn base(path: &[u8], version: EngineVersion) -> Range<usize> {
    let behind = |end| Some(memrchr2(b'/', b'\\', path.get(..end)?)? + 1..end);
    match version {
        EngineVersion::V2 => behind(path.len()).unwrap_or(0..path.len()),
        EngineVersion::V3 => {
            let first = memchr(b'?', path).unwrap_or(0);
            let found = [path.len(), first].into_iter().filter_map(behind).find(|base| !base.is_empty());
            found.unwrap_or_default()
        }
    }
}

/// Decodes `%xx`, and not `+`; an invalid escape stays, and with 2.9 one of a zero byte, too.
fn decode(text: &[u8], version: EngineVersion, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((before, from)) = memchr(b'%', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(before);
        match from {
            &[_, high, low, ref tail @ ..]
                if high.is_ascii_hexdigit()
                    && low.is_ascii_hexdigit()
                    && (version == EngineVersion::V3 || hex::byte(high, low) != 0) =>
            {
                out.push(hex::byte(high, low));
                rest = tail;
            }
            _ => {
                out.push(b'%');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
}
