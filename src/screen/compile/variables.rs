//! The variables of requests that the screen reads.

/// Whether rules on this variable are evaluated; its name in capitals.
pub(super) fn is_known(name: &str) -> bool {
    variable(name).is_some()
}

/// The number of the variable with this name.
pub(in crate::screen) fn variable(name: &str) -> Option<usize> {
    VARIABLES.iter().position(|known| *known == name)
}

/// Their names.
pub(in crate::screen) const VARIABLES: [&str; 35] = [
    "ARGS",
    "ARGS_NAMES",
    "ARGS_GET",
    "ARGS_GET_NAMES",
    "ARGS_POST",
    "ARGS_POST_NAMES",
    "ARGS_COMBINED_SIZE",
    "FILES",
    "FILES_NAMES",
    "FILES_COMBINED_SIZE",
    "MULTIPART_PART_HEADERS",
    "MULTIPART_STRICT_ERROR",
    "MULTIPART_UNMATCHED_BOUNDARY",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REQBODY_ERROR",
    "REQBODY_PROCESSOR",
    "REQBODY_PROCESSOR_ERROR",
    "REQUEST_BASENAME",
    "REQUEST_BODY",
    "REQUEST_BODY_LENGTH",
    "REQUEST_COOKIES",
    "REQUEST_COOKIES_NAMES",
    "REQUEST_FILENAME",
    "REQUEST_HEADERS",
    "REQUEST_HEADERS_NAMES",
    "REQUEST_LINE",
    "REQUEST_METHOD",
    "REQUEST_PROTOCOL",
    "REQUEST_URI",
    "REQUEST_URI_RAW",
    "SERVER_PORT",
    "URLENCODED_ERROR",
    "XML",
];

/// Whether what is in the variable, or how much, differs between phase 1 and later ones.
pub(in crate::screen) fn depends_on_body(name: &str, is_counted: bool) -> bool {
    let is_collection = ["ARGS", "FILES", "MULTIPART_PART"].iter().any(|start| name.starts_with(start));
    match name {
        "ARGS_COMBINED_SIZE"
        | "FILES_COMBINED_SIZE"
        | "REQBODY_ERROR"
        | "REQBODY_PROCESSOR"
        | "REQBODY_PROCESSOR_ERROR"
        | "REQUEST_BODY"
        | "REQUEST_BODY_LENGTH"
        | "MULTIPART_STRICT_ERROR"
        | "MULTIPART_UNMATCHED_BOUNDARY"
        | "URLENCODED_ERROR"
        | "XML" => true,
        _ => is_collection && is_counted,
    }
}
