//! Headers, and what is in those that the engine reads itself: cookies and the type of the body.

use memchr::{memchr, memchr_iter};

use super::room::Origin;
use super::{EngineVersion, HandOver, Variables};
use crate::ffi::body_processor::BodyProcessor;

impl Variables<'_> {
    pub(super) fn read_headers(&mut self) -> Result<(), HandOver> {
        let headers = &self.request.headers;
        for header in headers.iter() {
            let (name, value) = header.map_err(|_| HandOver::Headers)?;
            if memchr(0, name).is_some() || memchr(0, value).is_some() {
                return Err(HandOver::ZeroByte);
            }
            let spans = (self.room.copy(name)?, self.room.copy(value)?);
            self.room.push(Origin::Header, spans.0, spans.1);
            if name.eq_ignore_ascii_case(b"content-type") {
                self.read_content_type(value);
            }
        }
        for header in headers.iter().filter_map(Result::ok) {
            if header.0.eq_ignore_ascii_case(b"cookie") {
                match self.version {
                    EngineVersion::V2 => self.read_cookies_2(header.1)?,
                    EngineVersion::V3 => self.read_cookies_3(header.1)?,
                }
            }
        }
        Ok(())
    }

    /// 2.9 takes the first header; with libmodsecurity 3, the last one of the two types that it knows decides.
    fn read_content_type(&mut self, value: &[u8]) {
        let is = |kind: &[u8]| value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
        let found = if is(b"application/x-www-form-urlencoded") {
            Some(BodyProcessor::UrlEncoded)
        } else if is(b"multipart/form-data") {
            Some(BodyProcessor::Multipart)
        } else {
            None
        };
        let is_first = !std::mem::replace(&mut self.has_content_type, true);
        if is_first || self.version == EngineVersion::V3 && found.is_some() {
            self.processor = found;
        }
    }

    /// Cookies are between semicolons; where there is none, between commas if the first one is followed by a blank.
    fn read_cookies_2(&mut self, header: &[u8]) -> Result<(), HandOver> {
        let has_commas = memchr(b';', header).is_none()
            && memchr(b',', header).is_some_and(|at| header.get(at + 1) == Some(&b' '));
        let separator = if has_commas { b',' } else { b';' };
        for cookie in header.split(|&byte| byte == separator) {
            self.add_cookie(cookie)?;
        }
        Ok(())
    }

    /// Cookies are between semicolons; white space at the end of the last one does not count.
    fn read_cookies_3(&mut self, header: &[u8]) -> Result<(), HandOver> {
        let mut start = 0;
        // What follows the last semicolon is the last cookie, unless nothing follows.
        let header = header.strip_suffix(b";").unwrap_or(header);
        for end in memchr_iter(b';', header) {
            self.add_cookie(header.get(start..end).unwrap_or_default())?;
            start = end + 1;
        }
        let last = header.get(start..).unwrap_or_default();
        self.add_cookie(trim_end(last))
    }

    fn add_cookie(&mut self, cookie: &[u8]) -> Result<(), HandOver> {
        let split = memchr(b'=', cookie).and_then(|at| cookie.split_at_checked(at));
        let (name, value) =
            split.map_or((cookie, &[][..]), |(name, value)| (name, value.get(1..).unwrap_or_default()));
        let name = trim_start(name);
        if name.is_empty() {
            return Ok(());
        }
        let spans = (self.room.copy(name)?, self.room.copy(value)?);
        self.room.push(Origin::Cookie, spans.0, spans.1);
        Ok(())
    }
}

/// White space to isspace(3).
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}
