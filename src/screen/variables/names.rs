//! The variables of rules by their names.

/// A variable with one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scalar {
    /// `ARGS_COMBINED_SIZE`
    ArgsCombinedSize,
    /// `FILES_COMBINED_SIZE`
    FilesCombinedSize,
    /// `MULTIPART_STRICT_ERROR`
    MultipartStrictError,
    /// `MULTIPART_UNMATCHED_BOUNDARY`
    MultipartUnmatchedBoundary,
    /// `QUERY_STRING`
    QueryString,
    /// `REQBODY_ERROR`, and `REQBODY_PROCESSOR_ERROR`, which is the same for what is modelled.
    ReqbodyError,
    /// `REQBODY_PROCESSOR`
    ReqbodyProcessor,
    /// `REQUEST_BASENAME`
    RequestBasename,
    /// `REQUEST_BODY`
    RequestBody,
    /// `REQUEST_BODY_LENGTH`
    RequestBodyLength,
    /// `REQUEST_FILENAME`
    RequestFilename,
    /// `REQUEST_LINE`
    RequestLine,
    /// `REQUEST_METHOD`
    RequestMethod,
    /// `REQUEST_PROTOCOL`
    RequestProtocol,
    /// `REQUEST_URI`
    RequestUri,
    /// `REQUEST_URI_RAW`
    RequestUriRaw,
    /// `URLENCODED_ERROR`
    UrlEncodedError,
}

/// A variable with members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collection {
    /// `ARGS`, and `ARGS_NAMES` by their names: those of query, form and JSON together.
    Args,
    /// `ARGS_GET`: those of the query.
    ArgsGet,
    /// `ARGS_POST`: those of a form, also a multipart one.
    ArgsPost,
    /// `FILES`: the names of files, by the names of their fields, which are `FILES_NAMES` with 2.9.
    Files,
    /// `MULTIPART_PART_HEADERS`: lines of part headers, by the names of the parts.
    MultipartPartHeaders,
    /// `REQUEST_COOKIES`, and `REQUEST_COOKIES_NAMES` by their names.
    RequestCookies,
    /// `REQUEST_HEADERS`, and `REQUEST_HEADERS_NAMES` by their names.
    RequestHeaders,
}

impl Scalar {
    pub(super) const COUNT: usize = 17;

    /// The variable of this name, in whatever case; `None` for one that is not modelled.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = [
            ("ARGS_COMBINED_SIZE", Self::ArgsCombinedSize),
            ("FILES_COMBINED_SIZE", Self::FilesCombinedSize),
            ("MULTIPART_STRICT_ERROR", Self::MultipartStrictError),
            ("MULTIPART_UNMATCHED_BOUNDARY", Self::MultipartUnmatchedBoundary),
            ("QUERY_STRING", Self::QueryString),
            ("REQBODY_ERROR", Self::ReqbodyError),
            ("REQBODY_PROCESSOR_ERROR", Self::ReqbodyError),
            ("REQBODY_PROCESSOR", Self::ReqbodyProcessor),
            ("REQUEST_BASENAME", Self::RequestBasename),
            ("REQUEST_BODY", Self::RequestBody),
            ("REQUEST_BODY_LENGTH", Self::RequestBodyLength),
            ("REQUEST_FILENAME", Self::RequestFilename),
            ("REQUEST_LINE", Self::RequestLine),
            ("REQUEST_METHOD", Self::RequestMethod),
            ("REQUEST_PROTOCOL", Self::RequestProtocol),
            ("REQUEST_URI", Self::RequestUri),
            ("REQUEST_URI_RAW", Self::RequestUriRaw),
            ("URLENCODED_ERROR", Self::UrlEncodedError),
        ];
        known.iter().find(|(text, _)| text.eq_ignore_ascii_case(name)).map(|&(_, scalar)| scalar)
    }
}

impl Collection {
    /// The collection of this name, in whatever case, and whether the name means the names of its members, as
    /// `ARGS_NAMES` does; `None` for one that is not modelled.
    #[must_use]
    pub fn from_name(name: &str) -> Option<(Self, bool)> {
        let known = [
            ("ARGS", Self::Args, false),
            ("ARGS_GET", Self::ArgsGet, false),
            ("ARGS_GET_NAMES", Self::ArgsGet, true),
            ("ARGS_NAMES", Self::Args, true),
            ("ARGS_POST", Self::ArgsPost, false),
            ("ARGS_POST_NAMES", Self::ArgsPost, true),
            ("FILES", Self::Files, false),
            ("FILES_NAMES", Self::Files, true),
            ("MULTIPART_PART_HEADERS", Self::MultipartPartHeaders, false),
            ("REQUEST_COOKIES", Self::RequestCookies, false),
            ("REQUEST_COOKIES_NAMES", Self::RequestCookies, true),
            ("REQUEST_HEADERS", Self::RequestHeaders, false),
            ("REQUEST_HEADERS_NAMES", Self::RequestHeaders, true),
        ];
        let found = known.iter().find(|(text, ..)| text.eq_ignore_ascii_case(name));
        found.map(|&(_, collection, is_names)| (collection, is_names))
    }
}
