//! Requests of browsers and scripts, and the same a little wrong: what is nearly clean tells more of a screen than attacks.

use std::net::IpAddr;

use super::rng::Rng;
use super::words::{escape, text};
use super::{Form, Request};

const WORDS: &[&str] = &[
    "shoes",
    "size 42",
    "Anna",
    "the delivery came on Tuesday",
    "user@shop.test",
    "2026-11-25",
    "1,299.00",
    "O'Brien",
    "50% off",
    "a & b",
    "(red)",
    "Grüße",
    "日本語",
    "you & me",
    "what?",
    "yes!",
    "it's fine",
    "http://shop.test/a",
    "C:\\temp",
    "select a size",
    "order by price",
    "drop in",
    "x=1",
    "a;b",
    "1-2",
    "3/4",
    "#7",
    "true",
    "null",
    "[1,2]",
    "{\"a\":1}",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1",
    "GA1.2.1234.5678",
    "%20",
    "+49 30 1234",
    "and so on",
    "or else",
    "...",
    "a.b.c",
    "file.pdf",
    "/img/a.png",
    "~me",
    "a_b-c",
    "\u{a0}",
    "",
];

const NAMES: &[&str] =
    &["q", "page", "name", "comment", "email", "id", "sort", "a[]", "filter[x]", "utm_source", "_", "token"];

const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
];

/// The pieces that make a clean value one that a rule may mind.
const PIECES: &[&str] = &[
    "'", "\"", "`", ";", "--", "/*", "*/", "#", "<", ">", "(", ")", "{", "}", "[", "]", "|", "&", "$", "%",
    "%00", "%0a", "%0d", "%27", "%3c", "%u0027", "\\", "\\x27", "\\u0027", "&#39;", "&lt;", "..", "../", "=",
    "==", "+", " or ", " and ", "union", "select", "script", "alert", "eval", "exec", "cat ", "/etc/", "php",
    ".php", "http://", "file:", "@", "!", "~", "^", "\t", "\n", "\r\n", "\0", "\u{e9}", "%e9", "\u{201c}",
    ":", ",", "?", "admin", "sleep(", "1=1",
];

/// A value as a site gets it, mostly clean.
fn value(rng: &mut Rng) -> Vec<u8> {
    let mut value = match rng.below(12) {
        0 => text(rng),
        1 => rng.number().to_string().into_bytes(),
        2 => (0..rng.below(200)).flat_map(|_| [rng.pick(WORDS).as_bytes(), b" "].concat()).collect(),
        _ => rng.pick(WORDS).as_bytes().to_vec(),
    };
    while rng.one_in(6) {
        let at = rng.below(value.len() + 1);
        let piece = rng.pick(PIECES).as_bytes().to_vec();
        value.splice(at..at, piece);
    }
    if rng.one_in(10) {
        value.truncate(rng.below(value.len() + 1));
    }
    value
}

fn pairs(rng: &mut Rng, most: usize) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for _ in 0..rng.within(1, most) {
        let name = if rng.one_in(20) { value(rng) } else { rng.pick(NAMES).as_bytes().to_vec() };
        let value = value(rng);
        let plain = |byte: u8| !byte.is_ascii_alphanumeric() && !b"-_.~".contains(&byte);
        let written = if rng.one_in(12) { value } else { escape(&value, plain) };
        all.push([&name[..], b"=", &written].concat());
    }
    all.join(&b"&"[..])
}

fn json(rng: &mut Rng) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for number in 0..rng.within(1, 5) {
        let value = value(rng);
        let text: Vec<u8> = value
            .iter()
            .flat_map(|byte| match byte {
                b'"' | b'\\' => vec![b'\\', *byte],
                0..32 => format!("\\u{byte:04x}").into_bytes(),
                _ => vec![*byte],
            })
            .collect();
        let name = rng.pick(NAMES);
        all.push(match rng.below(4) {
            0 => format!("\"{name}{number}\":{number}").into_bytes(),
            1 => [format!("\"{name}\":[{{\"a\":\"").as_bytes(), &text, b"\"},true]"].concat(),
            _ => [format!("\"{name}{number}\":\"").as_bytes(), &text, b"\""].concat(),
        });
    }
    [b"{", &all.join(&b","[..])[..], b"}"].concat()
}

fn multipart(rng: &mut Rng) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..rng.within(1, 4) {
        let file = if rng.one_in(3) { "; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg" } else { "" };
        let name = rng.pick(&["name", "comment", "photo", "a1"]);
        all.extend(
            format!("--x7x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes(),
        );
        all.extend(value(rng));
        all.extend(b"\r\n");
    }
    all.extend(b"--x7x--\r\n");
    all
}

/// One request, nearly clean.
pub fn mutated(rng: &mut Rng) -> Request {
    let mut headers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, value: Vec<u8>| headers.push((name.as_bytes().to_vec(), value));
    add("host", b"shop.test".to_vec());
    add("user-agent", rng.pick(AGENTS).as_bytes().to_vec());
    add(
        "accept",
        rng.pick(&["*/*", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
            .as_bytes()
            .to_vec(),
    );
    if rng.one_in(2) {
        add("accept-language", b"de,en-US;q=0.7,en;q=0.3".to_vec());
        add("accept-encoding", b"gzip, deflate, br".to_vec());
    }
    if rng.one_in(2) {
        add("referer", [&b"https://shop.test/a?"[..], &pairs(rng, 2)].concat());
    }
    if rng.one_in(2) {
        let mut cookies: Vec<Vec<u8>> = Vec::new();
        for number in 0..rng.within(1, 4) {
            let value = if rng.one_in(3) { value(rng) } else { b"GA1.2.1234.5678".to_vec() };
            cookies.push(
                [format!("c{number}=").as_bytes(), &escape(&value, |byte| byte <= b' ' || byte == b';')]
                    .concat(),
            );
        }
        add("cookie", cookies.join(&b"; "[..]));
    }
    if rng.one_in(12) {
        let name = rng.pick(&[
            "x-a",
            "range",
            "origin",
            "authorization",
            "x-forwarded-for",
            "cache-control",
            "connection",
        ]);
        add(name, value(rng));
    }
    let mut body = Vec::new();
    let mut method = "GET";
    if rng.one_in(2) {
        method = "POST";
        let kind = match rng.below(8) {
            0 | 1 => {
                body = json(rng);
                "application/json"
            }
            2 => {
                body = multipart(rng);
                "multipart/form-data; boundary=x7x"
            }
            3 if rng.one_in(2) => {
                body = value(rng);
                "text/plain"
            }
            _ => {
                body = pairs(rng, 8);
                "application/x-www-form-urlencoded"
            }
        };
        add("content-type", kind.as_bytes().to_vec());
        add("content-length", body.len().to_string().into_bytes());
    }
    let mut path = b"/".to_vec();
    for _ in 0..rng.below(4) {
        let segment = if rng.one_in(4) {
            value(rng)
        } else {
            rng.pick(&["a", "shop", "img", "index.php", "api", "v1", "a.css"]).as_bytes().to_vec()
        };
        path.extend(escape(&segment, |byte| byte <= b' ' || byte >= 127 || b"?#%".contains(&byte)));
        path.push(b'/');
    }
    Request {
        form: Form::Named,
        header_lines: false,
        client: IpAddr::from([192, 0, 2, 7]),
        client_port: 4711,
        method: method.as_bytes().to_vec(),
        path: Some(path),
        query: rng.one_in(2).then(|| pairs(rng, 5)),
        version: rng.pick(&["1.1", "2.0"]),
        headers,
        body,
        missing: 0,
    }
}
