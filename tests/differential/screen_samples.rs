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
    let kind = rng.below(8);
    if kind < 3 {
        let (content_type, content) = form(rng);
        headers.push((b"Content-Type".to_vec(), content_type));
        body = content;
    } else if kind < 5 {
        let content_type: &[u8] = rng.pick(&[b"application/json", b"Application/JSON; charset=utf-8"]);
        headers.push((b"Content-Type".to_vec(), content_type.to_vec()));
        body = json(rng);
    } else if kind < 7 {
        let (content_type, content) = multipart(rng);
        headers.push((b"Content-Type".to_vec(), content_type));
        body = content;
    }
    if !body.is_empty() && rng.one_in(40) {
        headers.push((b"content-type".to_vec(), b"application/x-www-form-urlencoded".to_vec()));
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

/// A body of no type or that of a form.
fn form(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let kind: &[u8] = match rng.below(10) {
        0 => b"text/plain",
        1 => b"application/x-www-form-urlencodedX; charset=utf-8",
        2 => b"Application/X-WWW-Form-Urlencoded",
        3 => b"",
        _ => b"application/x-www-form-urlencoded",
    };
    let body = match rng.below(8) {
        0 => Vec::new(),
        1 => rng.bytes(20),
        2 => (0..rng.below(45)).flat_map(|_| b"a=1&".to_vec()).collect(),
        _ => text(rng, 10),
    };
    (kind.to_vec(), body)
}

/// JSON, mostly valid.
fn json(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    if rng.one_in(12) {
        out.extend_from_slice(b"\xef\xbb\xbf");
    }
    // Now and then about as deep as is allowed.
    let mut ends = Vec::new();
    for _ in 0..if rng.one_in(8) { rng.within(5, 10) } else { 0 } {
        let (start, end): (&[u8], u8) = if rng.one_in(2) { (b"[", b']') } else { (b"{\"k\":", b'}') };
        out.extend_from_slice(start);
        ends.push(end);
    }
    value(rng, ends.len(), &mut out);
    out.extend(ends.into_iter().rev());
    match rng.below(20) {
        0 => drop(out.pop()),
        1 => out.push(b' '),
        2 => out.extend_from_slice(b"1"),
        3 if !out.is_empty() => {
            let at = rng.below(out.len());
            out[at] = rng.number() as u8;
        }
        4 if rng.one_in(3) => {
            out = [b"[\"".to_vec(), vec![b'a'; 8180 + rng.below(30)], b"\",1,{\"b\":[2]}]".to_vec()].concat()
        }
        _ => {}
    }
    out
}

const STRINGS: &[&[u8]] = &[
    b"",
    b"a",
    b"b",
    b"a.b",
    b".",
    b"..",
    b"a.",
    b"array",
    b"json",
    b"array_0",
    b"empty-key",
    b"\xc3\xa9",
    b"\xff",
    b"\xc0\x80",
    b"\\u0041",
    b"\\u00e9",
    b"\\u0000",
    b"\\ud83d\\ude00",
    b"\\ud800x",
    b"\\ude00",
    b"\\n",
    b"\\\"",
    b"\\/",
    b"\\\\",
    b"<x>",
    b"1",
];

fn string(rng: &mut Rng, out: &mut Vec<u8>) {
    out.push(b'"');
    for _ in 0..rng.within(1, 2) {
        out.extend_from_slice(rng.pick(STRINGS));
    }
    out.push(b'"');
}

fn value(rng: &mut Rng, depth: usize, out: &mut Vec<u8>) {
    let blank = |rng: &mut Rng, out: &mut Vec<u8>| {
        if rng.one_in(10) {
            out.extend_from_slice(rng.pick(&[b" ", b"\n", b"\t"]));
        }
    };
    match rng.below(if depth > 10 { 4 } else { 8 }) {
        0 => out.extend_from_slice(rng.pick(&[&b"null"[..], b"true", b"false"])),
        1 => out.extend_from_slice(rng.pick(&[
            &b"0"[..],
            b"-1",
            b"1.5e3",
            b"01",
            b"1.",
            b"12345678901234567890",
            b"-",
            b"1E+2",
        ])),
        2 | 3 => string(rng, out),
        4 | 5 => {
            out.push(b'[');
            for index in 0..rng.below(4) {
                if index > 0 {
                    out.push(b',');
                }
                blank(rng, out);
                value(rng, depth + 1, out);
            }
            out.push(b']');
        }
        _ => {
            out.push(b'{');
            for index in 0..rng.below(4) {
                if index > 0 {
                    out.push(b',');
                }
                blank(rng, out);
                string(rng, out);
                out.push(b':');
                value(rng, depth + 1, out);
            }
            out.push(b'}');
        }
    }
}

/// What stands in the data of a part.
const DATA: &[&[u8]] = &[
    b"",
    b"value",
    b"a",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"-",
    b"--",
    b"---",
    b"--\r\n",
    b"\r\n--",
    b"\n--",
    b"\r\n--x",
    b"\n-- xy",
    b"\r\n--\txy",
    b"\0",
    b"\n--\0",
    b"\n--a\0",
    b"\xff\xd8",
    b"--xy",
    b"\r\n--xy",
    b"a=b&c",
    b"%41",
    b"\"",
    b" ",
    b"--x",
    b"xy",
];

/// A multipart body, mostly of the form that browsers send.
fn multipart(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let boundaries: [&[u8]; 6] = [
        b"xy",
        b"xy",
        b"----WebKitFormBoundaryAbC1",
        b"-",
        b"x'()+_,-./:=?y",
        b"---------------------------9051914041544843365972754266",
    ];
    let boundary = rng.pick(&boundaries).to_vec();
    // How often something is odd that no browser sends.
    let odd = if rng.one_in(3) { 12 } else { 1000 };
    let is_odd = |rng: &mut Rng| rng.one_in(odd);
    let content_type = match if is_odd(rng) { rng.below(6) } else { 6 } {
        0 => [b"multipart/form-data; boundary=\"", &boundary[..], b"\""].concat(),
        1 => [b"multipart/form-data; boundary=", &boundary[..], b"; charset=utf-8"].concat(),
        2 => [b"multipart/form-data;charset=utf-8; boundary=", &boundary[..]].concat(),
        3 => b"multipart/form-data".to_vec(),
        4 => [b"multipart/form-data;\tboundary =", &boundary[..]].concat(),
        5 => [b"Multipart/Form-Data;boundary=", &boundary[..]].concat(),
        _ => [b"multipart/form-data; boundary=", &boundary[..]].concat(),
    };
    let mut body = Vec::new();
    let end: &[u8] = if is_odd(rng) { b"\n" } else { b"\r\n" };
    let least = usize::from(!is_odd(rng));
    for _ in 0..rng.within(least, 4) {
        for piece in [b"--", &boundary[..], end] {
            body.extend_from_slice(piece);
        }
        let names: [&[u8]; 7] = [b"a", b"b", b"A", b"file[]", b"\xc3\xa9", b"it's", b"a;b"];
        let name = if is_odd(rng) { b"" } else { rng.pick(&names) };
        let mut disposition = [b"Content-Disposition: form-data; name=\"", name, b"\""].concat();
        if rng.one_in(3) {
            let files: [&[u8]; 7] =
                [b"", b"a.txt", b"\xc3\xa9.jpg", b"a b;c.php", b"c:\\x.gif", b"x'y", b".."];
            disposition.extend_from_slice(
                &[&b"; filename=\""[..], if is_odd(rng) { b"c:\\x.gif" } else { rng.pick(&files) }, b"\""]
                    .concat(),
            );
        }
        if is_odd(rng) {
            let odd: [&[u8]; 5] = [b"; filename*=utf-8''x", b" ", b"; x=y", b";", b"; name=\"z\""];
            disposition.extend_from_slice(rng.pick(&odd));
        }
        let mut lines = vec![disposition];
        if rng.one_in(3) {
            lines.push(b"Content-Type: text/plain; charset=utf-8".to_vec());
        }
        if rng.one_in(6) {
            lines.push(b"X-A: 1".to_vec());
        }
        if is_odd(rng) {
            let odd: [&[u8]; 9] = [
                b"X-A: 1",
                b"content-type:x",
                b"x",
                b" folded",
                b": x",
                b"X A: 1",
                b"--x: y",
                b"X-B: \xff\t1",
                b"Content-Disposition: form-data; name=\"q\"",
            ];
            lines.insert(rng.below(lines.len() + 1), rng.pick(&odd).to_vec());
        }
        if is_odd(rng) {
            lines.push([b"X-Long: ".to_vec(), vec![b'a'; 3950 + rng.below(200)]].concat());
        }
        for line in lines {
            body.extend_from_slice(&line);
            body.extend_from_slice(end);
        }
        if !is_odd(rng) {
            body.extend_from_slice(end);
        }
        for _ in 0..rng.below(5) {
            let piece: &[u8] = rng.pick(DATA);
            // The delimiter itself is rare.
            if !piece.windows(2).any(|word| word == b"xy") || is_odd(rng) {
                body.extend_from_slice(piece);
            }
        }
        if rng.one_in(20) {
            body.extend_from_slice(&vec![b'z'; 4070 + rng.below(40)]);
            body.extend_from_slice(rng.pick(DATA));
        }
        if !is_odd(rng) {
            body.extend_from_slice(end);
        }
    }
    let last: [&[u8]; 3] = [b"", b"--\r\nx", b"--\n"];
    let last: &[u8] = if is_odd(rng) {
        rng.pick(&last)
    } else if rng.one_in(3) {
        b"--"
    } else {
        b"--\r\n"
    };
    for piece in [&b"--"[..], &boundary, last] {
        body.extend_from_slice(piece);
    }
    (content_type, body)
}
