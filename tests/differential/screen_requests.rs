//! Random requests for screen_variables.rs: of every part some that are plain, and some that a parser might read in two ways.

use std::fmt;

use crate::random::rng::Rng;

/// One request, as an engine gets it.
#[derive(Clone, Debug)]
pub struct Sample {
    pub method: Vec<u8>,
    pub uri: Vec<u8>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Sample {
    /// The decoded path, where the agent gives it to libmodsecurity 3 because an escaped question mark is in it.
    pub fn restored_path(&self) -> Vec<u8> {
        let path = self.uri.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap();
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < path.len() {
            let digits = path.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            match digits.filter(|_| path[at] == b'%') {
                Some(digits) => {
                    decoded.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
                    at += 3;
                }
                None => {
                    decoded.push(path[at]);
                    at += 1;
                }
            }
        }
        if decoded.contains(&b'?') { decoded } else { Vec::new() }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "b\"{}\" b\"{}\"", self.method.escape_ascii(), self.uri.escape_ascii())?;
        for (name, value) in &self.headers {
            writeln!(f, "b\"{}\": b\"{}\"", name.escape_ascii(), value.escape_ascii())?;
        }
        write!(f, "body b\"{}\"", self.body.escape_ascii())
    }
}

/// Pieces of texts in which a parser looks for separators and escapes.
const PIECES: &[&[u8]] = &[
    b"a",
    b"b",
    b"id",
    b"A",
    b"1",
    b"=",
    b"&",
    b"==",
    b"&&",
    b"=&",
    b"&=",
    b"%41",
    b"%3f",
    b"%3F",
    b"%23",
    b"%2F",
    b"%5c",
    b"%00",
    b"%",
    b"%4",
    b"%zz",
    b"%%33f",
    b"%25",
    b"+",
    b"?",
    b"#",
    b"/",
    b"\\",
    b"//",
    b".",
    b":",
    b";",
    b";;",
    b"; ",
    b" ;",
    b",",
    b", ",
    b" ",
    b"\t",
    b"\x0b",
    b"\"",
    b"'",
    b"[]",
    b"\xc3\xa9",
    b"\xff",
    b"\xa0",
    b"value",
    b"name",
    b"@",
    b"-",
    b"_ga",
];

fn text(rng: &mut Rng, most: usize) -> Vec<u8> {
    (0..rng.below(most + 1)).flat_map(|_| rng.pick(PIECES).to_vec()).collect()
}

fn without_zero(mut text: Vec<u8>) -> Vec<u8> {
    text.retain(|&byte| byte != 0);
    text
}

/// Any request.
pub fn request(rng: &mut Rng) -> Sample {
    let methods: [&[u8]; 5] = [b"GET", b"POST", b"FORCE", b"OPTIONS", b"p\xc3\xb6st"];
    let method = rng.pick(&methods).to_vec();
    let uri = match rng.below(20) {
        0 => b"*".to_vec(),
        1 => text(rng, 4),
        _ => [
            b"/".to_vec(),
            text(rng, 6),
            if rng.one_in(2) { b"?".to_vec() } else { Vec::new() },
            text(rng, 8),
        ]
        .concat(),
    };
    let mut headers = Vec::new();
    for _ in 0..rng.below(4) {
        let name: &[u8] =
            rng.pick(&[b"Host", b"user-agent", b"X-A", b"x-a", b"Cookie", b"COOKIE", b"Accept", b"Referer"]);
        headers.push((name.to_vec(), without_zero(text(rng, 6))));
    }
    let mut body = Vec::new();
    if rng.one_in(2) {
        let kind: &[u8] = match rng.below(10) {
            0 => b"text/plain",
            1 => b"application/x-www-form-urlencodedX; charset=utf-8",
            2 => b"Application/X-WWW-Form-Urlencoded",
            3 => b"",
            _ => b"application/x-www-form-urlencoded",
        };
        headers.push((b"Content-Type".to_vec(), kind.to_vec()));
        if rng.one_in(20) {
            headers.push((b"content-type".to_vec(), b"application/x-www-form-urlencoded".to_vec()));
        }
        body = match rng.below(8) {
            0 => Vec::new(),
            1 => rng.bytes(20),
            2 => (0..rng.below(45)).flat_map(|_| b"a=1&".to_vec()).collect(),
            _ => text(rng, 10),
        };
    }
    if rng.one_in(3) {
        let length: &[u8] = rng.pick(&[b"0", b"5", b"-1", b"x", b" -01", b"-10", b""]);
        headers.push((b"Content-Length".to_vec(), length.to_vec()));
    }
    if rng.one_in(8) {
        headers.push((
            b"Transfer-Encoding".to_vec(),
            rng.pick(&[&b"chunked"[..], b"gzip, Chunked", b"chunke"]).to_vec(),
        ));
    }
    Sample { method, uri: without_zero(uri), headers, body }
}
