//! Random bodies, valid in every respect.

use crate::cut_bodies::{FORM, JSON, MULTIPART, XML};
use crate::rng::Rng;

const WORDS: &[&str] = &[
    "a",
    "Anna",
    "blue shoes",
    "\u{fc}ber",
    "\u{65e5}\u{672c}",
    "\u{1f600}",
    "1e9",
    "-",
    "--",
    "--xyz",
    "]]",
    "=",
    "%",
    "'",
];

/// A body, and its Content-Type.
pub fn body(rng: &mut Rng) -> (&'static str, Vec<u8>) {
    match rng.below(7) {
        0 => (FORM, form(rng)),
        1 | 2 => (JSON, json(rng, 4).into_bytes()),
        3 | 4 => (XML, xml(rng)),
        _ => (MULTIPART, multipart(rng)),
    }
}

fn word(rng: &mut Rng) -> &'static str {
    WORDS[rng.below(WORDS.len())]
}

/// A few of something.
fn few(rng: &mut Rng, between: &str, mut make: impl FnMut(&mut Rng) -> String) -> String {
    let all: Vec<_> = (0..rng.below(4)).map(|_| make(rng)).collect();
    all.join(between)
}

fn form(rng: &mut Rng) -> Vec<u8> {
    let escaped = |rng: &mut Rng| -> String {
        word(rng)
            .bytes()
            .map(|byte| if rng.one_in(3) { char::from(byte).into() } else { format!("%{byte:02x}") })
            .collect()
    };
    let pair = |rng: &mut Rng| {
        let ascii = |text: String| {
            text.chars().filter(char::is_ascii).filter(|char| !"&%= ".contains(*char)).collect::<String>()
        };
        let (name, value) = (ascii(word(rng).to_owned()), escaped(rng));
        format!("{name}={}", value.replace(|char: char| !char.is_ascii() || "&= ".contains(char), ""))
    };
    few(rng, "&", pair).into_bytes()
}

fn blank(rng: &mut Rng) -> &'static str {
    ["", "", "", " ", "\n", "\r\n\t"][rng.below(6)]
}

fn json(rng: &mut Rng, depth: usize) -> String {
    let (before, after) = (blank(rng), blank(rng));
    let value = match rng.below(if depth == 0 { 4 } else { 8 }) {
        0 => ["0", "-0", "-12", "3.25", "1e5", "1E-5", "-10.0e+10"][rng.below(7)].to_owned(),
        1 => ["true", "false", "null"][rng.below(3)].to_owned(),
        2 | 3 => string(rng),
        4 | 5 => format!("[{}]", few(rng, ",", |rng| json(rng, depth - 1))),
        _ => format!(
            "{{{}}}",
            few(rng, ",", |rng| format!("{0}{1}{0}:{2}", blank(rng), string(rng), json(rng, depth - 1)))
        ),
    };
    format!("{before}{value}{after}")
}

fn string(rng: &mut Rng) -> String {
    let piece = |rng: &mut Rng| match rng.below(3) {
        0 => {
            ["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u00e9", "\\u0000", "\\ud83d\\ude00"]
                [rng.below(11)]
        }
        _ => word(rng),
    };
    format!("\"{}\"", few(rng, "", |rng| piece(rng).to_owned()))
}

fn xml(rng: &mut Rng) -> Vec<u8> {
    let head = [
        "",
        "<?xml version=\"1.0\"?>",
        "<?xml version='1.0' encoding='utf-8'?>\n",
        "<?xml version=\"1.0\" standalone=\"no\" ?><!DOCTYPE a [<!ENTITY b \"hello\"><!ELEMENT a ANY>]>",
        "<!DOCTYPE a SYSTEM \"http://shop.test/a.dtd\">\r\n",
        "\u{feff}<!-- a - b -->",
    ];
    let head = head[rng.below(head.len())];
    let tail = ["", "\n", "<!-- a -->", "<?a b?>"][rng.below(4)];
    format!("{head}{}{tail}", element(rng, 3)).into_bytes()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace("]]", "]&#93;").replace('\'', "&#x27;")
}

fn element(rng: &mut Rng, depth: usize) -> String {
    let name = ["a", "b:c", "\u{e4}x", "d-1.e"][rng.below(4)];
    let names = ["f", "f:g", "fg", "\u{65e5}"];
    let attributes = names.iter().take(rng.below(5));
    let attributes: String =
        attributes.map(|name| format!(" {name}{0}={0}'{1}'", blank(rng), escaped(word(rng)))).collect();
    if rng.one_in(4) {
        return format!("<{name}{attributes}{}/>", blank(rng));
    }
    let inner = few(rng, "", |rng| match rng.below(8) {
        0 => "<![CDATA[a]] > ]<b>]]>".to_owned(),
        1 => "<!-- a-b -->".to_owned(),
        2 => "<?a b ? c?>".to_owned(),
        3 => "&gt;&#233;&#x1F600;&quot;".to_owned(),
        4 | 5 if depth > 0 => element(rng, depth - 1),
        _ => escaped(word(rng)),
    });
    format!("<{name}{attributes}{0}>{inner}</{name}{0}>", blank(rng))
}

fn multipart(rng: &mut Rng) -> Vec<u8> {
    let mut all = String::new();
    for _ in 0..rng.within(1, 4) {
        all.push_str("--xyzzy\r\n");
        let names = [
            "; name=\"a\"",
            "; name=\"a b\"; filename=\"c.txt\"",
            ";name=a;filename=\"\u{fc}\"",
            "; filename=\"c\"; name=\"d\\\"e\"",
        ];
        let headers = format!("Content-Disposition: form-data{}\r\n", names[rng.below(4)]);
        let more = ["", "", "Content-Type: text/plain\r\n", "X-Content: a: b\r\nX-Cont: c\r\n"][rng.below(4)];
        all.push_str(&if rng.one_in(2) { headers.clone() + more } else { more.to_owned() + &headers });
        all.push_str("\r\n");
        let end = ["\r\n", "\n"][rng.below(2)];
        let value = few(rng, end, |rng| word(rng).to_owned() + word(rng));
        // As long as a line that libmodsecurity and ModSecurity 2.9 read at once, more or less.
        let long = if rng.one_in(4) { rng.within(4080, 4110) } else { 0 };
        all.push_str(&"y".repeat(long));
        all.push_str(&value);
        all.push_str("\r\n");
    }
    all.push_str(["--xyzzy--\r\n", "--xyzzy--"][rng.below(2)]);
    all.into_bytes()
}
