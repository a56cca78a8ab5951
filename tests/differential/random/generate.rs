//! Random requests: what browsers, scripts, attackers and broken clients send, and some that nobody would.

use super::body::body;
use super::rng::Rng;
use super::words::{escape, form, text};
use super::{Form, Request};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE",
    "PROPFIND", "get", "X", "FOO-BAR", "M-SEARCH",
];

const NAMES: &[&str] = &[
    "Host",
    "User-Agent",
    "Accept",
    "Accept-Language",
    "Accept-Encoding",
    "Cookie",
    "Referer",
    "Origin",
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Transfer-Encoding",
    "Connection",
    "X-Forwarded-For",
    "X-Requested-With",
    "Authorization",
    "If-None-Match",
    "Range",
    "Expect",
    "Upgrade",
    "Proxy",
    "X-Comment",
    "x_under",
    "X-A",
    "Content-Disposition",
    "X-HTTP-Method-Override",
    "Forwarded",
    "TE",
    "Via",
    "Cache-Control",
];

const VALUES: &[&str] = &[
    "",
    "*/*",
    "text/html,application/xhtml+xml",
    "en-US,en;q=0.5",
    "gzip, deflate",
    "keep-alive",
    "close",
    "chunked",
    "127.0.0.1",
    "192.0.2.1, 10.0.0.1",
    "bytes=0-10,11-20,21-30,31-40,41-50,51-60",
    "shop.test",
    "192.0.2.80",
    "shop.test:8080",
    "a=b; c=d",
    "Mozilla/5.0 (X11; Linux x86_64)",
    "curl/7.88.1",
    "Basic YWRtaW46YWRtaW4=",
    "100-continue",
    "0",
    "-1",
    "utf-8",
    "application/json",
    "application/x-www-form-urlencoded",
    "text/xml",
    "multipart/form-data; boundary=x",
    "PUT",
    "https://shop.test/a?b=c",
];

/// One request. Every fourth is harmless: where most are denied, a denial too many would not be seen.
pub fn request(rng: &mut Rng) -> Request {
    rng.calm = rng.one_in(4);
    let mut method = rng.pick(if rng.calm { &["GET", "POST"] } else { METHODS }).as_bytes().to_vec();
    let mut path = Some(path(rng));
    let mut query =
        (!rng.one_in(3)).then(|| if !rng.calm && rng.one_in(8) { text(rng) } else { form(rng, 6) });
    if !rng.calm && rng.one_in(50) {
        (method, path, query) = (rng.pick(&["OPTIONS", "CONNECT", "GET"]).as_bytes().to_vec(), None, None);
    }
    let mut headers = headers(rng);
    let (mut sent, mut missing) = (Vec::new(), 0);
    // A body also with methods that have none.
    if method.first() == Some(&b'P') || rng.one_in(4) {
        let (kind, whole) = body(rng);
        sent = whole;
        announce(rng, &mut headers, kind, sent.len());
        if rng.one_in(3) {
            let kept = rng.below(sent.len() + 1);
            // Cut by HAProxy, which says so, or by the client.
            missing = if rng.one_in(3) { 0 } else { sent.len() - kept };
            sent.truncate(kept);
        }
    }
    if rng.one_in(150) {
        // What the agent refuses.
        match rng.below(3) {
            0 => method.insert(rng.below(method.len() + 1), 0),
            1 => method.clear(),
            _ => path = Some(b"/a\0b".to_vec()),
        }
    }
    // HAProxy gives values in lines without blanks around them, and cannot give line breaks in them.
    let is_line =
        |part: &[u8]| !part.iter().any(|byte| matches!(byte, b'\r' | b'\n')) && part.trim_ascii() == part;
    let fits = headers.iter().all(|(name, value)| is_line(name) && !name.contains(&b':') && is_line(value));
    let client = match rng.below(4) {
        0 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, rng.below(0x10000) as u16)),
        1 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => IpAddr::V4(Ipv4Addr::new(192, 0, 2, rng.below(256) as u8)),
    };
    Request {
        form: [Form::Named, Form::Named, Form::Eight, Form::Twelve][rng.below(4)],
        header_lines: fits && rng.one_in(3),
        client,
        client_port: rng.below(0x10000) as u16,
        method,
        path,
        query,
        version: if rng.calm { "1.1" } else { rng.pick(&["1.1", "1.1", "1.1", "1.0", "2.0", "3.0", "0.9"]) },
        headers,
        body: sent,
        missing,
    }
}

fn path(rng: &mut Rng) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..rng.within(1, 4) {
        let segment = if rng.one_in(3) {
            text(rng)
        } else {
            rng.pick(if rng.calm { &["a", "api"] } else { &["a", "", "..", ".", "x.php", "api"] })
                .as_bytes()
                .to_vec()
        };
        all.push(b'/');
        // A zero byte is put in elsewhere, on purpose; HAProxy lets no blank through.
        all.extend(escape(&segment, |byte| byte <= b' ' || matches!(byte, b'?' | b'#' | 127)));
    }
    all
}

fn headers(rng: &mut Rng) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    if rng.calm || !rng.one_in(8) {
        // A request that is otherwise well-behaved lets rules look at the rest of it.
        for (name, value) in [("host", "shop.test"), ("user-agent", "Mozilla/5.0"), ("accept", "*/*")] {
            all.push((name.into(), value.into()));
        }
    }
    let more = match rng.below(20) {
        0 => rng.within(50, 300),
        1 => 0,
        _ => rng.below(8),
    };
    if rng.calm {
        all.extend((0..more).map(|number| (format!("X-{number}").into_bytes(), text(rng))));
        return all;
    }
    for _ in 0..more {
        let header = match (rng.below(6), all.len()) {
            // The same name once more, and the same header once more.
            (0, 1..) => {
                let (name, _) = &all[rng.below(all.len())];
                (odd_case(rng, name), value(rng, more > 20))
            }
            (1, 1..) if rng.one_in(2) => all[rng.below(all.len())].clone(),
            (2, _) => (format!("X-{}", rng.below(1000)).into_bytes(), value(rng, more > 20)),
            _ => {
                let name = rng.pick(NAMES).as_bytes();
                (odd_case(rng, name), value(rng, more > 20))
            }
        };
        let at = rng.below(all.len() + 1);
        all.insert(at, header);
    }
    all
}

fn odd_case(rng: &mut Rng, name: &[u8]) -> Vec<u8> {
    match rng.below(4) {
        0 => name.to_ascii_uppercase(),
        1 => name.iter().map(|byte| if rng.one_in(2) { byte.to_ascii_uppercase() } else { *byte }).collect(),
        // HAProxy gives names in small letters.
        2 => name.to_ascii_lowercase(),
        _ => name.to_vec(),
    }
}

fn value(rng: &mut Rng, is_one_of_many: bool) -> Vec<u8> {
    match rng.below(12) {
        0..=6 => rng.pick(VALUES).as_bytes().to_vec(),
        7 if !is_one_of_many => vec![b"aA0 ,;="[rng.below(7)]; rng.below(9000)],
        8 => rng.bytes(30),
        9 => [&b"a="[..], &text(rng), b"; b=", &text(rng)].concat(),
        _ => text(rng),
    }
}

/// Says in the headers what the body is: mostly the truth.
fn announce(rng: &mut Rng, headers: &mut Vec<(Vec<u8>, Vec<u8>)>, kind: Option<Vec<u8>>, length: usize) {
    if let Some(kind) = kind.filter(|_| rng.calm || !rng.one_in(12)) {
        let at = rng.below(headers.len() + 1);
        headers.insert(at, (odd_case(rng, b"Content-Type"), kind));
    }
    let length = match rng.below(12) {
        _ if rng.calm => length.to_string(),
        0 => return,
        1 => "3000000000".to_owned(),
        2 => text(rng).escape_ascii().to_string(),
        _ => length.to_string(),
    };
    headers.push((odd_case(rng, b"Content-Length"), length.into_bytes()));
}
