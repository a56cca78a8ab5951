//! Rules that make any difference visible in what rules see, where no attack is.
//!
//! For each variable, five rules look at one digit each of the hash of each of its values. So the rules that match, and the
//! sum of their weights as the score, are a fingerprint of all values, how many there are included; not of their order.

use std::fmt::Write;

const VARIABLES: &[&str] = &[
    "REQUEST_LINE",
    "REQUEST_METHOD",
    "REQUEST_PROTOCOL",
    "REQUEST_URI",
    "REQUEST_URI_RAW",
    "REQUEST_FILENAME",
    "REQUEST_BASENAME",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "SERVER_ADDR",
    "SERVER_PORT",
    "SERVER_NAME",
    "UNIQUE_ID",
    "REQUEST_HEADERS",
    "REQUEST_HEADERS_NAMES",
    "REQUEST_COOKIES",
    "REQUEST_COOKIES_NAMES",
    "REQUEST_BODY",
    "REQUEST_BODY_LENGTH",
    "REQBODY_PROCESSOR",
    "ARGS_GET",
    "ARGS_POST",
    "ARGS_GET_NAMES",
    "ARGS_POST_NAMES",
    "ARGS_COMBINED_SIZE",
    "FILES",
    "FILES_NAMES",
    "FILES_SIZES",
    "FILES_COMBINED_SIZE",
    "MULTIPART_PART_HEADERS",
    "MULTIPART_STRICT_ERROR",
    "REQBODY_ERROR",
    "AUTH_TYPE",
    "XML:/*",
    "FULL_REQUEST",
];

/// Digits of each hash that are looked at.
const DIGITS: usize = 5;

/// The rules.
pub fn rules() -> String {
    let mut all = String::new();
    for (variable, number) in VARIABLES.iter().zip(1..) {
        for digit in 0..DIGITS {
            let id = number * 100 + digit;
            let weight = (id * 7919) % 65_521;
            writeln!(
                all,
                "SecRule {variable} \"@rx ^.{{{digit}}}[0-7]\" \"id:{id},phase:2,pass,log,\
                 t:none,t:sha1,t:hexEncode,setvar:tx.anomaly_score=+{weight}\""
            )
            .unwrap();
        }
    }
    all
}
