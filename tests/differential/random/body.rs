//! Random bodies of every type that the engine parses, and of some that it does not.

use super::rng::Rng;
use super::words::{escape, form, text};

/// A body, and the Content-Type that goes with it.
pub fn body(rng: &mut Rng) -> (Option<Vec<u8>>, Vec<u8>) {
    let (kind, body) = match rng.below(12) {
        0..=2 => (
            &["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"][..],
            form(rng, 8),
        ),
        3..=5 => return multipart(rng),
        6..=7 => (
            &["application/json", "application/vnd.api+json; charset=utf-8", "APPLICATION/JSON"][..],
            json_document(rng),
        ),
        8..=9 => (&["text/xml", "application/xml; charset=utf-8", "application/soap+xml"][..], xml(rng)),
        10 => (&["text/plain", "text/html", "text/plain;charset=utf-7"][..], text(rng)),
        _ => (
            &["application/octet-stream", "image/png", "application/x-java-serialized-object"][..],
            rng.bytes(400),
        ),
    };
    (Some(rng.pick(kind).as_bytes().to_vec()), body)
}

fn multipart(rng: &mut Rng) -> (Option<Vec<u8>>, Vec<u8>) {
    let boundary =
        *rng.pick(&[&"----formdata7", &"x", &"a b'()+_,-./:=?", &"0000000000000000000000000000000000000"]);
    let end = if rng.one_in(10) { "\n" } else { "\r\n" };
    let mut all = Vec::new();
    if rng.one_in(12) {
        all.extend(text(rng));
        all.extend_from_slice(end.as_bytes());
    }
    for _ in 0..rng.below(6) {
        all.extend(format!("--{boundary}{end}").into_bytes());
        all.extend(part(rng, end));
    }
    match rng.below(10) {
        0 => {}
        1 => all.extend(format!("--{boundary}").into_bytes()),
        2 => all.extend(format!("--{boundary}--{end}epilogue").into_bytes()),
        _ => all.extend(format!("--{boundary}--{end}").into_bytes()),
    }
    let kind = match rng.below(10) {
        0 => format!("multipart/form-data; boundary={boundary}; boundary=y"),
        1 => format!("multipart/form-data;BOUNDARY={boundary}"),
        2 => "multipart/form-data".to_owned(),
        3 => format!("multipart/mixed; boundary=\"{boundary}\""),
        4 => format!("multipart/form-data; charset=utf-8; boundary={boundary}"),
        _ => format!("multipart/form-data; boundary=\"{boundary}\""),
    };
    (Some(kind.into_bytes()), all)
}

fn part(rng: &mut Rng, end: &str) -> Vec<u8> {
    let quoted = |text: Vec<u8>| escape(&text, |byte| byte == b'"' || byte < 32);
    let name = quoted(text(rng));
    let mut all = match rng.below(12) {
        0 => b"Content-Disposition: form-data; name=\"".to_vec(),
        1 => b"content-disposition:form-data;name=\"".to_vec(),
        2 => b"Content-Disposition: form-data;\r\n name=\"".to_vec(),
        3 => b"Content-Disposition: attachment; name=\"".to_vec(),
        4 => b"X-Other: 1\r\nContent-Disposition: form-data; name=\"".to_vec(),
        _ => b"Content-Disposition: form-data; name=\"".to_vec(),
    };
    all.extend(name);
    all.push(b'"');
    if rng.one_in(3) {
        let file = quoted(text(rng));
        all.extend([&b"; filename=\""[..], &file, b"\""].concat());
        all.extend(
            [end.as_bytes(), b"Content-Type: ", rng.pick(&["text/plain", "image/png", ""]).as_bytes()]
                .concat(),
        );
    } else if rng.one_in(12) {
        all.extend_from_slice(b"; filename*=UTF-8''x%2f.php");
    }
    if rng.one_in(12) {
        all.extend_from_slice(b"\r\nContent-Transfer-Encoding: base64");
    }
    all.extend_from_slice(end.repeat(2).as_bytes());
    all.extend(if rng.one_in(4) { rng.bytes(200) } else { text(rng) });
    all.extend_from_slice(end.as_bytes());
    all
}

fn json_document(rng: &mut Rng) -> Vec<u8> {
    if rng.one_in(16) {
        let depth = rng.within(2, 600);
        return [vec![b'['; depth], vec![b']'; depth - rng.below(2)]].concat();
    }
    let depth = rng.within(0, 3);
    json(rng, depth)
}

fn json(rng: &mut Rng, depth: usize) -> Vec<u8> {
    let list = |items: Vec<Vec<u8>>| items.join(&b","[..]);
    match rng.below(if depth == 0 { 5 } else { 8 }) {
        0 => string(rng),
        1 => rng.pick(&["0", "-1", "1e400", "0.1", "01", "9223372036854775808"]).as_bytes().to_vec(),
        2 => rng.pick(&["true", "false", "null", "NaN", ""]).as_bytes().to_vec(),
        3..=4 => string(rng),
        5 => {
            let items = (0..rng.below(4)).map(|_| json(rng, depth - 1)).collect();
            [b"[".to_vec(), list(items), b"]".to_vec()].concat()
        }
        _ => {
            let pair = |rng: &mut Rng| [string(rng), b":".to_vec(), json(rng, depth - 1)].concat();
            let items = (0..rng.below(5)).map(|_| pair(rng)).collect();
            [b"{".to_vec(), list(items), b"}".to_vec()].concat()
        }
    }
}

fn string(rng: &mut Rng) -> Vec<u8> {
    let text = text(rng);
    if rng.one_in(12) {
        return [b"\"", &text[..], b"\""].concat();
    }
    let write = |byte: &u8| match byte {
        b'"' | b'\\' => vec![b'\\', *byte],
        0..32 => format!("\\u{byte:04x}").into_bytes(),
        _ => vec![*byte],
    };
    let inner: Vec<u8> = text.iter().flat_map(write).collect();
    [b"\"", &inner[..], b"\""].concat()
}

fn xml(rng: &mut Rng) -> Vec<u8> {
    let head = rng.pick(&[
        "",
        "<?xml version=\"1.0\"?>",
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>",
        "<!DOCTYPE a [<!ENTITY b \"hello\">]>",
        "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/hostname\">]>",
    ]);
    let depth = if rng.one_in(20) { 40 } else { 3 };
    [head.as_bytes(), &element(rng, depth)].concat()
}

fn element(rng: &mut Rng, depth: usize) -> Vec<u8> {
    let clean = |text: Vec<u8>| escape(&text, |byte| matches!(byte, b'<' | b'&' | b'"') || byte < 32);
    let inner = match rng.below(10) {
        0 => [b"<![CDATA[", &text(rng)[..], b"]]>"].concat(),
        1 => b"&b;&lt;&#x41;".to_vec(),
        2 => text(rng),
        3..=6 if depth > 0 => (0..rng.within(1, 2)).flat_map(|_| element(rng, depth / 2)).collect(),
        _ => clean(text(rng)),
    };
    let attribute =
        if rng.one_in(3) { [b" b=\"", &clean(text(rng))[..], b"\""].concat() } else { Vec::new() };
    let end = rng.pick(&["</a>", "</a>", "</a>", "</a>", "</a>", "</a>", "</b>"]);
    [b"<a", &attribute[..], b">", &inner, end.as_bytes()].concat()
}
