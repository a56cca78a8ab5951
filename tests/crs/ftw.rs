//! From a test's input to the bytes on the wire, as the framework does it that the tests were written for: FTW 1.3.0
//! (the tests' requirements.txt), ftw/ruleset.py `Input` and ftw/http.py `build_request`.
//!
//! Left out is what no test of 3.3.4 needs: cookies kept between stages, and bodies in another charset.

use std::fmt::Write;

/// A test's `input`, with the framework's defaults for what it does not say.
pub struct Input {
    pub method: String,
    pub uri: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub data: String,
    /// Do not add or change anything.
    pub stop_magic: bool,
    /// The whole request in Base64.
    pub encoded_request: Option<String>,
    /// The whole request.
    pub raw_request: Option<String>,
}

const FORM: &str = "application/x-www-form-urlencoded";

/// The request's bytes.
pub fn request(input: &Input) -> Vec<u8> {
    if let Some(encoded) = &input.encoded_request {
        return base64(encoded);
    }
    if let Some(raw) = &input.raw_request {
        return raw_request(raw);
    }
    // The framework counts characters and announces bytes; it also encodes by the charset of the type.
    assert!(input.data.is_ascii(), "a body that is not ASCII: {:?}", input.data);
    let mut headers = input.headers.clone();
    let mut data = input.data.clone();
    // Names are compared as they are: a `content-type` does not count.
    let find = |headers: &[(String, String)], name: &str| {
        headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    if !data.is_empty() && !input.stop_magic {
        if find(&headers, "Content-Type").is_none() {
            headers.push(("Content-Type".to_owned(), FORM.to_owned()));
        }
        if find(&headers, "Content-Type").as_deref() == Some(FORM) {
            data = form(&data);
        }
        if find(&headers, "Content-Length").is_none() {
            headers.push(("Content-Length".to_owned(), data.len().to_string()));
        }
    }
    let mut request = format!("{} {} {}\r\n", input.method, input.uri, input.version);
    for (name, value) in &headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    (request + "\r\n" + &data).into_bytes()
}

/// A form that is not encoded yet, encoded: Python's `urlencode(parse_qsl(data))`, which loses arguments without a
/// value. Data with a `%` and two digits, or without any argument, stays as it is.
fn form(data: &str) -> String {
    let encoded = data
        .as_bytes()
        .windows(3)
        .any(|window| window[0] == b'%' && window[1].is_ascii_hexdigit() && window[2].is_ascii_hexdigit());
    let arguments =
        data.split('&').filter_map(|pair| pair.split_once('=')).filter(|(_, value)| !value.is_empty());
    let arguments: Vec<_> =
        arguments.map(|(name, value)| format!("{}={}", quote_plus(name), quote_plus(value))).collect();
    if encoded || arguments.is_empty() { data.to_owned() } else { arguments.join("&") }
}

/// Python's `quote_plus` of a text in which a `+` was a space.
fn quote_plus(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' | b'+' => out.push('+'),
            b'_' | b'.' | b'-' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            _ => write!(out, "%{byte:02X}").unwrap(),
        }
    }
    out
}

/// Python's `raw.encode("utf-8").decode("unicode_escape")` for a text without a backslash: each byte becomes the
/// character with its number, and on the wire that is UTF-8 again.
fn raw_request(raw: &str) -> Vec<u8> {
    assert!(!raw.contains('\\'), "an escape in a raw request: {raw:?}");
    raw.bytes().map(char::from).collect::<String>().into_bytes()
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = ALPHABET.iter().position(|known| *known == byte).expect("not Base64");
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xFF) as u8);
        }
    }
    out
}

#[test]
fn a_form_is_encoded_as_the_framework_does_it() {
    assert_eq!(form("a=1 2&b&c=&d=<x>~"), "a=1+2&d=%3Cx%3E%7E".replace("%7E", "~"));
    assert_eq!(form("a=%20 b"), "a=%20 b");
    assert_eq!(form("just <text>"), "just <text>");
    assert_eq!(base64("aGk="), b"hi");
}
