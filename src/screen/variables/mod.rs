//! What rules see of a request: the variables that an engine makes of it, to the last byte.
//!
//! [`Variables::read`] makes those of phase 1 (request line, headers, cookies, the arguments of the query), and
//! [`Variables::read_body`] adds those of phase 2, once the rules of phase 1 have chosen the parser of the body. Both
//! engines' ways are modelled, also where they differ ([`EngineVersion`]); what is not modelled exactly is a [`HandOver`].
//! tests/differential/screen_variables.rs compares all of them with what rules of the engine see.
//!
//! All texts are in one buffer ([`Room`]), which is used again: a request costs no allocation once the buffer has grown.

mod body;
mod cookies;
mod form;
mod json;
mod multipart;
mod names;
mod request_line;
mod room;

use std::borrow::Cow;
use std::fmt;

use crate::ffi::body_processor::BodyProcessor;
use crate::message::request::Request;
use crate::rules::version::EngineVersion;

pub use body::BodyRules;
pub use names::{Collection, Scalar};
pub use room::Room;
use room::{Flag, Span};

/// The settings of the engine that decide what it makes of a request. [`Limits::new`] has the engines' defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `SecArgumentsLimit`. `None`: libmodsecurity 3 has no limit unless one is set.
    pub arguments: Option<usize>,
    /// `SecArgumentSeparator`.
    pub argument_separator: u8,
    /// `SecRequestBodyAccess On`.
    pub body_access: bool,
    /// `SecRequestBodyLimit`, in bytes.
    pub body: usize,
    /// `SecRequestBodyNoFilesLimit`, in bytes.
    pub body_no_files: usize,
    /// `SecRequestBodyInMemoryLimit`, in bytes, which only 2.9 has.
    pub body_in_memory: usize,
    /// `SecRequestBodyJsonDepthLimit`.
    pub json_depth: usize,
}

impl Limits {
    /// What the engine takes when no directive says anything else.
    #[must_use]
    pub fn new(version: EngineVersion) -> Self {
        let is_2 = version == EngineVersion::V2;
        Self {
            arguments: is_2.then_some(1000),
            argument_separator: b'&',
            body_access: false,
            body: if is_2 { 134_217_728 } else { usize::MAX },
            body_no_files: if is_2 { 1_048_576 } else { usize::MAX },
            body_in_memory: 131_072,
            json_depth: 10_000,
        }
    }
}

/// Why the engine has the word: this part of a request is not modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandOver {
    /// The headers cannot be read.
    Headers,
    /// A zero byte where an engine takes C strings.
    ZeroByte,
    /// The target of the request is neither a path nor `*`.
    Target,
    /// As many arguments as `SecArgumentsLimit` allows, or more.
    Arguments,
    /// The body is above a limit of the engine.
    BodyLimit,
    /// More than one Content-Type, and a body.
    ContentTypes,
    /// The JSON is not valid, or nested too deep.
    Json,
    /// The multipart body is not of the form that is modelled.
    Multipart,
    /// XML is not modelled.
    Xml,
    /// The names of arguments would take more memory than is reasonable for the request.
    Memory,
}

impl HandOver {
    /// The reason in a few words, for logs and counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::ZeroByte => "zero byte",
            Self::Target => "request target",
            Self::Arguments => "number of arguments",
            Self::BodyLimit => "size of the body",
            Self::ContentTypes => "several content types",
            Self::Json => "json",
            Self::Multipart => "multipart",
            Self::Xml => "xml",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One member of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'v> {
    /// The name, by which selectors (`ARGS:name`) choose. Its case is the client's; selectors ignore case.
    pub name: &'v [u8],
    /// The value that an operator sees.
    pub value: &'v [u8],
}

/// The variables of one request.
#[derive(Debug)]
pub struct Variables<'a> {
    version: EngineVersion,
    limits: &'a Limits,
    request: &'a Request,
    room: &'a mut Room,
    /// What `REQUEST_BODY` is, where the variable exists.
    body: Option<Cow<'a, [u8]>>,
    processor: Option<BodyProcessor>,
    has_content_type: bool,
}

impl<'a> Variables<'a> {
    /// Makes the variables of phase 1. `room` loses what it held.
    ///
    /// # Errors
    /// When a part of the request is not modelled.
    pub fn read(
        request: &'a Request,
        version: EngineVersion,
        limits: &'a Limits,
        room: &'a mut Room,
    ) -> Result<Self, HandOver> {
        room.clear();
        let mut variables =
            Self { version, limits, request, room, body: None, processor: None, has_content_type: false };
        variables.read_request_line()?;
        variables.read_headers()?;
        variables.read_query()?;
        variables.set_initial_flags();
        Ok(variables)
    }

    /// The parser that the headers choose. Rules may choose another one (`ctl:requestBodyProcessor`).
    #[must_use]
    pub fn processor(&self) -> Option<BodyProcessor> {
        self.processor
    }

    /// A rule of phase 1 has chosen another parser (`ctl:requestBodyProcessor`): later rules see its name.
    pub fn choose(&mut self, processor: Option<BodyProcessor>) {
        self.processor = processor;
        self.set_processor_name();
    }

    /// The value of a variable that is no collection; `None` where it does not exist, and is no target of a rule. With
    /// libmodsecurity 3 all exist, and most are empty before they are set.
    #[must_use]
    pub fn scalar(&self, scalar: Scalar) -> Option<&[u8]> {
        match scalar {
            Scalar::RequestBody => match (&self.body, self.version) {
                (Some(body), _) => Some(body),
                (None, EngineVersion::V2) => None,
                (None, EngineVersion::V3) => Some(b""),
            },
            _ => self.room.scalar(scalar),
        }
    }

    /// The members of a collection, in the order in which the client sent them. libmodsecurity 3 goes through them in an
    /// order of its own.
    pub fn members(&self, collection: Collection) -> impl Iterator<Item = Member<'_>> {
        self.room.members(collection)
    }

    /// How many members a collection has.
    #[must_use]
    pub fn count(&self, collection: Collection) -> usize {
        self.room.count(collection)
    }

    fn set_initial_flags(&mut self) {
        let is_2 = self.version == EngineVersion::V2;
        let none: &[u8] = if is_2 { b"0" } else { b"" };
        for scalar in [
            Scalar::ReqbodyError,
            Scalar::RequestBodyLength,
            Scalar::MultipartStrictError,
            Scalar::MultipartUnmatchedBoundary,
            Scalar::FilesCombinedSize,
        ] {
            self.room.set(scalar, none);
        }
        self.set_processor_name();
        self.set_derived();
    }

    /// `REQBODY_PROCESSOR`: the name of the parser.
    fn set_processor_name(&mut self) {
        let name: &[u8] = match self.processor {
            None => b"",
            Some(BodyProcessor::UrlEncoded) => b"URLENCODED",
            Some(BodyProcessor::Multipart) => b"MULTIPART",
            Some(BodyProcessor::Json) => b"JSON",
            Some(BodyProcessor::Xml) => b"XML",
        };
        self.room.set(Scalar::ReqbodyProcessor, name);
    }

    /// What is derived from the arguments.
    fn set_derived(&mut self) {
        let error: &[u8] = if self.room.flag(Flag::UrlEncodedError) { b"1" } else { b"0" };
        self.room.set(Scalar::UrlEncodedError, error);
        let size = self.room.combined_size(self.version);
        match (self.version, size) {
            (EngineVersion::V2, size) => {
                self.room.set_number(Scalar::ArgsCombinedSize, size.unwrap_or(0), "")
            }
            (EngineVersion::V3, None) => self.room.set(Scalar::ArgsCombinedSize, b""),
            (EngineVersion::V3, Some(size)) => {
                self.room.set_number(Scalar::ArgsCombinedSize, size, ".000000");
            }
        }
    }

    /// Whether the arguments reach the engine's limit: it ignores those that follow.
    fn check_arguments(&self) -> Result<(), HandOver> {
        let count = self.count(Collection::Args);
        match self.limits.arguments {
            Some(limit) if count >= limit => Err(HandOver::Arguments),
            _ => Ok(()),
        }
    }
}
