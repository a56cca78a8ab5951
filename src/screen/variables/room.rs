//! Where the variables of a request are kept: one buffer for all texts, and lists of places in it.

use std::io::Write;
use std::ops::Range;

use super::{Collection, EngineVersion, HandOver, Member, Scalar};

/// The memory of one request's variables after another's.
#[derive(Debug, Default)]
pub struct Room {
    text: Vec<u8>,
    scalars: [Option<Span>; Scalar::COUNT],
    /// Members in the order in which they came; a collection's are those of its origins.
    members: Vec<(Origin, Span, Span)>,
    flags: u8,
    /// Bytes that the texts may take.
    most: usize,
}

/// The place of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// Where a member comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Header,
    Cookie,
    Query,
    Form,
    Multipart,
    Json,
    File,
    PartHeader,
}

/// What a reader notes on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Flag {
    /// An escape in a query or form is not valid.
    UrlEncodedError = 1,
}

impl Room {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.scalars = [None; Scalar::COUNT];
        self.members.clear();
        self.flags = 0;
        self.most = 0;
    }

    /// Allows this many bytes more for texts.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.most = self.most.saturating_add(bytes).min(u32::MAX as usize);
    }

    /// Adds a text that `write` appends to the buffer.
    ///
    /// # Errors
    /// When the texts are too long.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Span, HandOver> {
        let start = self.text.len();
        write(&mut self.text);
        if self.text.len() > self.most {
            return Err(HandOver::Memory);
        }
        let place = |at: usize| u32::try_from(at).map_err(|_| HandOver::Memory);
        Ok(Span { start: place(start)?, end: place(self.text.len())? })
    }

    /// Adds a copy of a text.
    pub(super) fn copy(&mut self, text: &[u8]) -> Result<Span, HandOver> {
        self.add(|buffer| buffer.extend_from_slice(text))
    }

    pub(super) fn text(&self, span: Span) -> &[u8] {
        self.text.get(Range::from(span)).unwrap_or_default()
    }

    pub(super) fn push(&mut self, origin: Origin, name: Span, value: Span) {
        self.members.push((origin, name, value));
    }

    pub(super) fn set_span(&mut self, scalar: Scalar, span: Option<Span>) {
        if let Some(place) = self.scalars.get_mut(scalar as usize) {
            *place = span;
        }
    }

    /// Sets a variable to a short text.
    pub(super) fn set(&mut self, scalar: Scalar, text: &[u8]) {
        self.allow(text.len());
        let span = self.copy(text).ok();
        self.set_span(scalar, span);
    }

    /// Sets a variable to a number and what follows it.
    pub(super) fn set_number(&mut self, scalar: Scalar, number: usize, behind: &str) {
        self.allow(32);
        // Writing into a vector does not fail.
        let span = self.add(|text| drop(write!(text, "{number}{behind}"))).ok();
        self.set_span(scalar, span);
    }

    pub(super) fn scalar(&self, scalar: Scalar) -> Option<&[u8]> {
        self.scalars.get(scalar as usize).copied().flatten().map(|span| self.text(span))
    }

    pub(super) fn members(&self, collection: Collection) -> impl Iterator<Item = Member<'_>> {
        let members = self.members.iter().filter(move |(origin, ..)| origin.is_in(collection));
        members.map(|&(_, name, value)| Member { name: self.text(name), value: self.text(value) })
    }

    pub(super) fn count(&self, collection: Collection) -> usize {
        self.members.iter().filter(|(origin, ..)| origin.is_in(collection)).count()
    }

    pub(super) fn raise(&mut self, flag: Flag) {
        self.flags |= flag as u8;
    }

    pub(super) fn flag(&self, flag: Flag) -> bool {
        self.flags & flag as u8 != 0
    }

    /// The lengths of all names and values together, as the engine counts them; `None` where it has counted nothing.
    pub(super) fn combined_size(&self, version: EngineVersion) -> Option<usize> {
        let counted = self.members.iter().filter(|(origin, ..)| {
            origin.is_in(Collection::Args) && (version == EngineVersion::V2 || *origin != Origin::Multipart)
        });
        counted.map(|(_, name, value)| name.len() + value.len()).reduce(|sum, size| sum + size)
    }
}

impl Origin {
    fn is_in(self, collection: Collection) -> bool {
        match collection {
            Collection::Args => matches!(self, Self::Query | Self::Form | Self::Multipart | Self::Json),
            Collection::ArgsGet => self == Self::Query,
            Collection::ArgsPost => matches!(self, Self::Form | Self::Multipart),
            Collection::Files => self == Self::File,
            Collection::MultipartPartHeaders => self == Self::PartHeader,
            Collection::RequestCookies => self == Self::Cookie,
            Collection::RequestHeaders => self == Self::Header,
        }
    }
}

impl Span {
    /// The place of a part of this text.
    pub(super) fn part(self, range: Range<usize>) -> Self {
        let at = |offset: usize| {
            self.start.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)).min(self.end)
        };
        Self { start: at(range.start), end: at(range.end) }
    }

    fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }
}

impl From<Span> for Range<usize> {
    fn from(span: Span) -> Self {
        span.start as usize..span.end as usize
    }
}
