//! The variables of each engine, and what is the matter with the targets of a rule.

use super::known::{By, By::Both, By::Three, By::Two, known};
use super::{Cause, Kind, expressions};
use crate::ffi::pcre2::Options;
use crate::rules::directives::targets::{Target, targets};
use crate::rules::version::EngineVersion;

const VARIABLES: [(&str, By); 130] = [
    ("ARGS", Both),
    ("ARGS_COMBINED_SIZE", Both),
    ("ARGS_GET", Both),
    ("ARGS_GET_NAMES", Both),
    ("ARGS_NAMES", Both),
    ("ARGS_POST", Both),
    ("ARGS_POST_NAMES", Both),
    ("AUTH_TYPE", Both),
    ("DURATION", Both),
    ("ENV", Both),
    ("FILES", Both),
    ("FILES_COMBINED_SIZE", Both),
    ("FILES_NAMES", Both),
    ("FILES_SIZES", Both),
    ("FILES_TMP_CONTENT", Both),
    ("FILES_TMPNAMES", Both),
    ("FULL_REQUEST", Both),
    ("FULL_REQUEST_LENGTH", Both),
    ("GEO", Both),
    ("GLOBAL", Both),
    ("HIGHEST_SEVERITY", Both),
    ("INBOUND_DATA_ERROR", Both),
    ("IP", Both),
    ("MATCHED_VAR", Both),
    ("MATCHED_VAR_NAME", Both),
    ("MATCHED_VARS", Both),
    ("MATCHED_VARS_NAMES", Both),
    ("MODSEC_BUILD", Both),
    ("MSC_PCRE_ERROR", Three),
    ("MSC_PCRE_LIMITS_EXCEEDED", Three),
    ("MULTIPART_BOUNDARY_QUOTED", Both),
    ("MULTIPART_BOUNDARY_WHITESPACE", Both),
    ("MULTIPART_CRLF_LF_LINES", Both),
    ("MULTIPART_CRLF_LINE", Two),
    ("MULTIPART_DATA_AFTER", Both),
    ("MULTIPART_DATA_BEFORE", Both),
    ("MULTIPART_FILE_LIMIT_EXCEEDED", Both),
    ("MULTIPART_FILENAME", Both),
    ("MULTIPART_HEADER_FOLDING", Both),
    ("MULTIPART_INVALID_HEADER_FOLDING", Both),
    ("MULTIPART_INVALID_PART", Both),
    ("MULTIPART_INVALID_QUOTING", Both),
    ("MULTIPART_LF_LINE", Both),
    ("MULTIPART_MISSING_SEMICOLON", Both),
    ("MULTIPART_NAME", Both),
    ("MULTIPART_PART_HEADERS", Both),
    ("MULTIPART_SEMICOLON_MISSING", Three),
    ("MULTIPART_STRICT_ERROR", Both),
    ("MULTIPART_UNMATCHED_BOUNDARY", Both),
    ("OUTBOUND_DATA_ERROR", Both),
    ("PATH_INFO", Both),
    ("PERF_ALL", Two),
    ("PERF_COMBINED", Two),
    ("PERF_GC", Two),
    ("PERF_LOGGING", Two),
    ("PERF_PHASE1", Two),
    ("PERF_PHASE2", Two),
    ("PERF_PHASE3", Two),
    ("PERF_PHASE4", Two),
    ("PERF_PHASE5", Two),
    ("PERF_RULES", Two),
    ("PERF_SREAD", Two),
    ("PERF_SWRITE", Two),
    ("QUERY_STRING", Both),
    ("REMOTE_ADDR", Both),
    ("REMOTE_HOST", Both),
    ("REMOTE_PORT", Both),
    ("REMOTE_USER", Both),
    ("REQBODY_ERROR", Both),
    ("REQBODY_ERROR_MSG", Both),
    ("REQBODY_PROCESSOR", Both),
    ("REQBODY_PROCESSOR_ERROR", Both),
    ("REQBODY_PROCESSOR_ERROR_MSG", Both),
    ("REQUEST_BASENAME", Both),
    ("REQUEST_BODY", Both),
    ("REQUEST_BODY_LENGTH", Both),
    ("REQUEST_COOKIES", Both),
    ("REQUEST_COOKIES_NAMES", Both),
    ("REQUEST_FILENAME", Both),
    ("REQUEST_HEADERS", Both),
    ("REQUEST_HEADERS_NAMES", Both),
    ("REQUEST_LINE", Both),
    ("REQUEST_METHOD", Both),
    ("REQUEST_PROTOCOL", Both),
    ("REQUEST_URI", Both),
    ("REQUEST_URI_RAW", Both),
    ("RESOURCE", Both),
    ("RESPONSE_BODY", Both),
    ("RESPONSE_CONTENT_LENGTH", Both),
    ("RESPONSE_CONTENT_TYPE", Both),
    ("RESPONSE_HEADERS", Both),
    ("RESPONSE_HEADERS_NAMES", Both),
    ("RESPONSE_PROTOCOL", Both),
    ("RESPONSE_STATUS", Both),
    ("RULE", Both),
    ("SCRIPT_BASENAME", Two),
    ("SCRIPT_FILENAME", Two),
    ("SCRIPT_GID", Two),
    ("SCRIPT_GROUPNAME", Two),
    ("SCRIPT_MODE", Two),
    ("SCRIPT_UID", Two),
    ("SCRIPT_USERNAME", Two),
    ("SDBM_DELETE_ERROR", Two),
    ("SERVER_ADDR", Both),
    ("SERVER_NAME", Both),
    ("SERVER_PORT", Both),
    ("SESSION", Both),
    ("SESSIONID", Both),
    ("STATUS", Three),
    ("STATUS_LINE", Both),
    ("STREAM_INPUT_BODY", Two),
    ("STREAM_OUTPUT_BODY", Two),
    ("TIME", Both),
    ("TIME_DAY", Both),
    ("TIME_EPOCH", Both),
    ("TIME_HOUR", Both),
    ("TIME_MIN", Both),
    ("TIME_MON", Both),
    ("TIME_SEC", Both),
    ("TIME_WDAY", Both),
    ("TIME_YEAR", Both),
    ("TX", Both),
    ("UNIQUE_ID", Both),
    ("URLENCODED_ERROR", Both),
    ("USER", Both),
    ("USERAGENT_IP", Two),
    ("USERID", Both),
    ("WEBAPPID", Both),
    ("WEBSERVER_ERROR_LOG", Two),
    ("XML", Both),
];

/// The names that this engine knows.
pub fn names(version: EngineVersion) -> impl Iterator<Item = &'static str> {
    known(VARIABLES.iter().copied(), version)
}

/// Checks a list of targets.
pub(super) fn check(list: &str, version: EngineVersion) -> Result<(), Cause> {
    targets(list, version).iter().try_for_each(|target| check_one(target, version))
}

fn check_one(target: &Target, version: EngineVersion) -> Result<(), Cause> {
    let name = target.name.as_str();
    // The header of that name, as Apache writes it.
    let is_header = version == EngineVersion::V2 && name.len() > 5 && name.starts_with("HTTP_");
    if !is_header && !names(version).any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Cause::unknown(Kind::Variable, name, names(version)));
    }
    let Some(expression) = target.expression.as_deref() else {
        // Only libmodsecurity 3 reads it so: its scanner knows no expression with such a character.
        let is_meant = target.selector.len() > 2
            && target.selector.starts_with('/')
            && target.selector.ends_with('/')
            && !name.eq_ignore_ascii_case("XML");
        return match is_meant {
            true => {
                Err(Cause::SelectorIsName { variable: name.to_owned(), selector: target.selector.clone() })
            }
            false => Ok(()),
        };
    };
    let options = match version {
        EngineVersion::V2 => Options::DOTALL | Options::CASELESS | Options::DOLLAR_ENDONLY,
        EngineVersion::V3 => Options::DOTALL | Options::CASELESS | Options::MULTILINE,
    };
    expressions::check(&format!("the selector of {name}"), expression, options)
}
