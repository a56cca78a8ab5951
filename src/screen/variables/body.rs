//! The body, as the engine's parser reads it.

use std::borrow::Cow;

use super::room::Origin;
use super::{EngineVersion, HandOver, Scalar, Variables};
use crate::ffi::body_processor::BodyProcessor;

/// What the rules of phase 1 have decided about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRules {
    /// The parser: that of the headers, unless a rule has chosen another one.
    pub processor: Option<BodyProcessor>,
    /// `ctl:forceRequestBodyVariable=On`, which libmodsecurity 3 ignores.
    pub forces_variable: bool,
}

impl<'a> Variables<'a> {
    /// Adds the variables of phase 2. `body` is what the engine gets: the request's, and for one that HAProxy cut, with
    /// the ending that the agent adds. A rule that reads `TX:body_truncated` is for the caller to see.
    ///
    /// # Errors
    /// When the body is not modelled. The variables are of no use then.
    pub fn read_body(&mut self, rules: BodyRules, body: Cow<'a, [u8]>) -> Result<(), HandOver> {
        self.processor = rules.processor;
        self.set_processor_name();
        match self.version {
            EngineVersion::V2 => self.read_body_2(rules, body)?,
            EngineVersion::V3 => self.read_body_3(body)?,
        }
        self.check_arguments()?;
        self.set_derived();
        Ok(())
    }

    /// 2.9 reads a body only if headers announce one, or one has come, and only if it may.
    fn read_body_2(&mut self, rules: BodyRules, body: Cow<'a, [u8]>) -> Result<(), HandOver> {
        if !self.limits.body_access || body.is_empty() && !self.announces_body() {
            return Ok(());
        }
        self.check_size(&body)?;
        // Beyond this limit the engine keeps most bodies in a file.
        if body.len() > self.limits.body_in_memory {
            return Err(HandOver::BodyLimit);
        }
        self.parse(&body)?;
        self.room.set_number(Scalar::RequestBodyLength, body.len(), "");
        let is_variable = match rules.processor {
            Some(BodyProcessor::UrlEncoded) => true,
            Some(_) => false,
            None => rules.forces_variable,
        };
        if is_variable {
            self.body = Some(body);
        }
        Ok(())
    }

    fn read_body_3(&mut self, body: Cow<'a, [u8]>) -> Result<(), HandOver> {
        self.check_size(&body)?;
        self.parse(&body)?;
        if self.processor != Some(BodyProcessor::UrlEncoded) {
            self.room.set(Scalar::ReqbodyError, b"0");
        }
        if !body.is_empty() {
            self.room.set_number(Scalar::RequestBodyLength, body.len(), "");
            self.body = Some(body);
        }
        Ok(())
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), HandOver> {
        match self.processor {
            None => Ok(()),
            Some(BodyProcessor::UrlEncoded) => self.read_form(body, Origin::Form),
            Some(BodyProcessor::Json) => self.read_json(body),
            Some(BodyProcessor::Multipart) => self.read_multipart(body),
            Some(BodyProcessor::Xml) => Err(HandOver::Xml),
        }
    }

    fn check_size(&self, body: &[u8]) -> Result<(), HandOver> {
        if body.len() > self.limits.body.min(self.limits.body_no_files) {
            return Err(HandOver::BodyLimit);
        }
        Ok(())
    }

    /// Whether 2.9 expects a body: because of a Content-Length that is a number other than -1, or a chunked encoding.
    fn announces_body(&self) -> bool {
        let headers = &self.request.headers;
        match headers.first("content-length").map(is_minus_one) {
            Some(false) => true,
            _ => headers
                .first("transfer-encoding")
                .is_some_and(|value| value.windows(7).any(|word| word.eq_ignore_ascii_case(b"chunked"))),
        }
    }
}

/// Whether strtol(3) reads -1: white space, a sign, zeros, a one, and no digit behind it.
fn is_minus_one(text: &[u8]) -> bool {
    let start = text.iter().position(|byte| !matches!(byte, b'\t'..=b'\r' | b' ')).unwrap_or(text.len());
    let Some(digits) = text.get(start..).unwrap_or_default().strip_prefix(b"-") else { return false };
    let significant =
        digits.iter().take_while(|byte| byte.is_ascii_digit()).skip_while(|&&byte| byte == b'0');
    significant.copied().eq(*b"1")
}
