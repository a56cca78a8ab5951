//! Which of the engine's parsers reads a request's body.

/// A parser of request bodies. Content-Type and rules (`ctl:requestBodyProcessor`) choose it in phase 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProcessor {
    /// `URLENCODED`.
    UrlEncoded,
    /// `MULTIPART`.
    Multipart,
    /// `JSON`.
    Json,
    /// `XML`.
    Xml,
}

impl BodyProcessor {
    /// The parser by the number that both shims give it; 0 is none.
    pub(super) fn from_shim(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::UrlEncoded),
            2 => Some(Self::Multipart),
            3 => Some(Self::Json),
            4 => Some(Self::Xml),
            _ => None,
        }
    }
}
