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
pub(in crate::screen) const VARIABLES: [&str; 42] = [
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
    "FILES_SIZES",
    "MULTIPART_PART_HEADERS",
    "MULTIPART_STRICT_ERROR",
    "MULTIPART_UNMATCHED_BOUNDARY",
    "MULTIPART_FILENAME",
    "MULTIPART_NAME",
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
    "SERVER_ADDR",
    "SERVER_PORT",
    "UNIQUE_ID",
    "XML",
    "PATH_INFO",
    "AUTH_TYPE",
    "REMOTE_USER",
];
