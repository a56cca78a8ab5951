//! A body that HAProxy cut is judged as it came: is a valid one never denied for being cut, wherever that was, and an
//! invalid one always, if its fault came?
//!
//! The engine has the built-in settings and no other rules: what is denied here is denied for its form alone.
//! `CUT_SEED` gives other random bodies.

use std::collections::HashMap;

use crate::random_bodies;
use crate::rng::Rng;
use crate::support::agent::Agent;
use crate::support::haproxy::repository;
use crate::support::process;
use crate::support::spop::{Ack, Message};
use crate::support::wire::{Value, headers, text};

pub const FORM: &str = "application/x-www-form-urlencoded";
pub const JSON: &str = "application/json";
pub const XML: &str = "text/xml";
pub const MULTIPART: &str = "multipart/form-data; boundary=xyzzy";

/// Requests that are on their way to the agent at a time.
const WINDOW: usize = 16;

/// The beginning of a body, and what HAProxy says of its size.
struct Body<'a> {
    kind: &'a str,
    came: &'a [u8],
    size: usize,
}

impl Body<'_> {
    fn message(&self) -> Message {
        let size = self.size.to_string();
        let fields = [("host", "shop.test"), ("content-type", self.kind), ("content-length", &size)];
        Message::get("/", None)
            .with("method", text("POST"))
            .with("headers", headers(&fields))
            .with("body", Value::Binary(self.came.to_vec()))
            .with("body-size", Value::Int64(self.size as i64))
    }
}

/// The agent with the built-in settings alone, or with more rules behind them.
fn agent(more: &str) -> Agent {
    isolated("process", more)
}

fn isolated(isolation: &str, more: &str) -> Agent {
    let settings = std::fs::read_to_string(repository("src/modsecurity/default.conf")).unwrap();
    Agent::with_rules(
        &format!("{settings}\n{more}"),
        &["--max-frame-size", "1048576", "--isolation", isolation],
    )
}

/// Asks about all, a few at a time. Gives what the agent says to each.
fn ask(agent: &Agent, bodies: &[Body]) -> Vec<Ack> {
    let mut link = agent.link();
    let mut acks = HashMap::new();
    let mut sent = 0;
    while acks.len() < bodies.len() {
        while sent < bodies.len() && sent < acks.len() + WINDOW {
            link.send(&bodies[sent].message().notify(sent as u64 + 1, 1));
            sent += 1;
        }
        let ack = link.expect_ack();
        acks.insert(ack.stream - 1, ack);
    }
    (0..bodies.len() as u64).map(|number| acks.remove(&number).unwrap()).collect()
}

/// Asserts what becomes of a body when it is cut before each of its bytes from `first` on, and of the whole.
fn assert_cuts(agent: &Agent, kind: &str, whole: &[u8], first: usize, code: i64) {
    let cuts = (first..=whole.len()).map(|end| Body { kind, came: &whole[..end], size: whole.len() });
    let cuts: Vec<_> = cuts.collect();
    let wrong =
        cuts.iter().zip(ask(agent, &cuts)).filter(|(_, ack)| (ack.code(), ack.error()) != (Some(code), None));
    let wrong: Vec<_> = wrong.map(|(cut, ack)| (cut.came.len(), ack)).collect();
    let Some((end, ack)) = wrong.first() else { return };
    let ends: Vec<_> = wrong.iter().map(|(end, _)| end).collect();
    let came = String::from_utf8_lossy(&whole[..*end]);
    panic!("{kind}: not {code} when it is cut at {ends:?} of {}, first:\n{came}\n{ack:?}", whole.len());
}

fn utf16(text: &str, write: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(write).collect()
}

/// Bodies with all that their formats allow.
fn valid() -> Vec<(&'static str, Vec<u8>)> {
    let part = "Content-Disposition: form-data; name=\"a\"\r\n\r\nsome text\r\n- more\r\n\r\n";
    let file = "content-disposition: form-data; name=\"b\\\"\\\\\"; filename=\"c.txt\"\r\nContent-Type: text/plain\r\n\r\nd\r\n";
    let other = "X-A: b\r\nContent-Disposition: form-data; filename=e; name=f\r\nX: y\r\n\r\n\r\n";
    let multipart = [part, file, other].map(|part| format!("--xyzzy\r\n{part}")).concat();
    let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone='yes'?>\n<!-- a --><!DOCTYPE a PUBLIC \"b\" 'c' [\n\
        <!ENTITY b \"c&#10;\"> <!ENTITY % d 'e'><!ENTITY g PUBLIC \"h\" \"i?j&k\" NDATA j>\
        <!ELEMENT a (b , (c|d)*, e?)+> <!ELEMENT b (#PCDATA | a)*><!ELEMENT c EMPTY><!ELEMENT d ANY>\
        <!NOTATION j SYSTEM \"k\"><!NOTATION l PUBLIC \"m\"><!ENTITY bcd 'e'>\
        <!ATTLIST a b CDATA #IMPLIED c (d | e) \"d\" f NOTATION (j) #REQUIRED g ID #FIXED 'h'> <?i j?> ] >\n\
        <a b=\"&lt;&b;\" b2='1' u\u{308}:c = '&#x20;'>text<b/><![CDATA[<]] >]]>&b;&#233;&bcd;<c d=''></c >\u{df}\u{20ac}</a>\n\
        <?end ?><!---->";
    let json = "{\"a\": [1, -2.5e+10, \"\\u00e9\\u0009\\\\\\\"x\\/\", true, false, null, [], {}, [[{\"\":0}]]],\r\n\
        \"\u{fc}\u{1f600}\\ud83d\\ude00\":{\"b\\n\":false}, \"c\" : \"d\u{20ac}\", \"e\":-0} ";
    let utf16_xml =
        "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?><\u{e4} b='\u{1f600}'>c&lt;<d/>\u{20ac}</\u{e4}>";
    let simple =
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><soap:a xmlns:soap=\"http://shop.test/\"><b c=\"";
    vec![
        (FORM, b"a=b&c=%41%C3%a9+d&e&=f&g=%25".to_vec()),
        (JSON, json.as_bytes().to_vec()),
        (JSON, b"  \"just a string\"".to_vec()),
        (JSON, b"-12.50E-3 ".to_vec()),
        ("application/vnd.api+json", format!("{}{}", "[".repeat(200), "]".repeat(200)).into_bytes()),
        (XML, xml.as_bytes().to_vec()),
        (XML, [simple.as_bytes(), b"\xe9\xfc\xe9", b"\">\xe9</b></soap:a>"].concat()),
        ("application/soap+xml", utf16(utf16_xml, u16::to_le_bytes)),
        ("application/xml", utf16(utf16_xml, u16::to_be_bytes)),
        (MULTIPART, format!("{multipart}--xyzzy--\r\n").into_bytes()),
        (MULTIPART, format!("{multipart}--xyzzy--").into_bytes()),
    ]
}

#[test]
fn a_valid_body_is_never_denied_for_being_cut() {
    let agent = agent("");
    for (kind, whole) in valid() {
        assert_cuts(&agent, kind, &whole, 0, 0);
    }
}

#[test]
fn a_random_valid_body_is_never_denied_for_being_cut() {
    let agent = agent("");
    for mut rng in seeds(300) {
        let (kind, whole) = random_bodies::body(&mut rng);
        let anywhere = |rng: &mut Rng| rng.below(whole.len() + 1);
        let near_the_end = |rng: &mut Rng| whole.len().saturating_sub(rng.below(60));
        let ends: Vec<_> = (0..40)
            .map(|nth| if nth % 2 == 0 { anywhere(&mut rng) } else { near_the_end(&mut rng) })
            .collect();
        let cuts: Vec<_> =
            ends.iter().map(|&end| Body { kind, came: &whole[..end], size: whole.len() }).collect();
        for (cut, ack) in cuts.iter().zip(ask(&agent, &cuts)) {
            let (came, whole) = (String::from_utf8_lossy(cut.came), String::from_utf8_lossy(&whole));
            assert_eq!(ack.code(), Some(0), "{kind}: {came}\nof {whole}\n{ack:?}");
        }
    }
}

/// A fault is one from where it shows: whatever follows, cut or not, is denied.
#[test]
fn a_body_that_is_denied_stays_denied_when_more_of_it_comes() {
    let agent = agent("");
    let mut denied = 0;
    for mut rng in seeds(150) {
        let (kind, mut whole) = random_bodies::body(&mut rng);
        if whole.is_empty() {
            continue;
        }
        let place = rng.below(whole.len());
        // libmodsecurity reads on behind the end of a quoted name that does not end, in whatever its heap holds there.
        let line_start = whole[..place].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut line = whole[line_start..].iter().take_while(|&&byte| byte != b'\n');
        if kind == MULTIPART && line.any(|&byte| byte == b'"') {
            continue;
        }
        match rng.below(3) {
            0 => drop(whole.remove(place)),
            1 => whole.insert(place, b"\"'<>&{}[],:;=-\r\n\x80\xff"[rng.below(18)]),
            _ => whole[place] = rng.number() as u8,
        }
        // Names of encodings are many, and the parser knows some that are hardly names.
        let declaration =
            whole.windows(2).position(|bytes| whole.starts_with(b"<?xml ") && bytes == b"?>").unwrap_or(0);
        let ends = (declaration..=whole.len()).step_by(whole.len() / 100 + 1);
        let cuts: Vec<_> =
            ends.map(|end| Body { kind, came: &whole[..end], size: whole.len() + 1 }).collect();
        let codes: Vec<_> = ask(&agent, &cuts).iter().map(Ack::code).collect();
        let first = codes.iter().position(|code| *code != Some(0)).unwrap_or(codes.len());
        denied += usize::from(first < codes.len());
        let end = |nth: usize| cuts[nth].came.len();
        let clean: Vec<_> = (first..codes.len()).filter(|nth| codes[*nth] == Some(0)).map(end).collect();
        let text = whole.escape_ascii();
        assert!(
            clean.is_empty(),
            "{kind}: denied when cut at {}, and not when cut at {clean:?}: {text}",
            end(first)
        );
    }
    assert!(denied > 30, "only {denied} had a fault");
}

/// What a lenient application reads and the engine's parser refuses, from the length on at which that shows.
fn faulty() -> Vec<(&'static str, Vec<u8>, usize)> {
    let json = "{\"a\":\"' or 1=1-- -\"}";
    let part = "--xyzzy\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n' or 1=1-- -\r\n--xyzzy--\r\n";
    let mut all = vec![
        (JSON, format!("\u{feff}{json}").into_bytes(), 3),
        (JSON, format!("/**/{json}").into_bytes(), 1),
        (JSON, json.replace('"', "'").into_bytes(), 2),
        (JSON, utf16(json, u16::to_le_bytes), 2),
        (JSON, utf16(json, u16::to_be_bytes), 1),
        (JSON, utf16(&format!("\u{feff}{json}"), u16::to_le_bytes), 1),
        (JSON, format!("{json}{json}").into_bytes(), json.len() + 1),
        (XML, b"<a><b>' or 1=1-- -</c></a>".to_vec(), 21),
        (XML, b"<a b='c' b=\"' or 1=1-- -\"/>".to_vec(), 25),
        ("multipart/form-data; boundary=xyzzy; boundary=y", part.as_bytes().to_vec(), 1),
        (MULTIPART, format!("not a part\r\n{part}").into_bytes(), 12),
        (MULTIPART, part.replace("form-data; ", "form-data; other=\"\"; ").into_bytes(), 70),
    ];
    if process::engine() == 2 {
        all.push((MULTIPART, part.replace("\r\nC", "\r\nno header\r\nC").into_bytes(), 20));
    }
    all
}

#[test]
fn blanks_behind_a_faulty_body_do_not_help() {
    for isolation in ["process", "thread"] {
        let agent = isolated(isolation, "");
        for (kind, whole, fault) in faulty() {
            assert_cuts(&agent, kind, &whole, fault, 400);
            let padded = [&whole[..], &b" ".repeat(20_000)].concat();
            let cut = Body { kind, came: &padded[..15_000], size: padded.len() };
            let ack = &ask(&agent, &[cut])[0];
            let text = String::from_utf8_lossy(&whole);
            assert_eq!(ack.code(), Some(400), "{isolation}, {kind}: {text}\n{ack:?}");
        }
        for (kind, whole) in valid() {
            assert_cuts(&agent, kind, &whole, whole.len() / 2, 0);
        }
    }
}

#[test]
fn the_parser_that_a_rule_chooses_gets_the_ending() {
    let agent = agent(
        "SecRule REQUEST_HEADERS:Content-Type \"@streq text/x-notes\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"@streq text/x-tree\" \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule ARGS|XML:/* \"@contains attack\" \"id:3,phase:2,deny,status:403\"",
    );
    for (kind, [clean, attack]) in [
        ("text/x-notes", ["{\"a\": [\"hel", "{\"a\": [\"attack"]),
        ("text/x-tree", ["<a><b>hel", "<a><b>attack"]),
        (JSON, ["{\"a\": [\"hel", "{\"a\": [\"attack"]),
        (FORM, ["a=%4", "a=atta%6"]),
    ] {
        let code = |came: &str| ask(&agent, &[Body { kind, came: came.as_bytes(), size: 500 }])[0].code();
        assert_eq!(code(clean), Some(0), "{kind}: {clean}");
        if kind != FORM {
            assert_eq!(code(attack), Some(403), "{kind}: the value that was cut is not inspected");
        }
    }
}

#[test]
fn the_depth_limit_is_the_engines() {
    let agent = agent("");
    for (depth, code) in [(400, Some(0)), (600, Some(400))] {
        for open in ["[", "{\"a\":"] {
            let body = open.repeat(depth);
            let cut = Body { kind: JSON, came: body.as_bytes(), size: 100_000 };
            assert_eq!(ask(&agent, &[cut])[0].code(), code, "{depth} times {open}");
        }
    }
}

/// Sources of random numbers, each with a seed of its own.
fn seeds(count: u64) -> impl Iterator<Item = Rng> {
    let seed = std::env::var("CUT_SEED").map_or(20_261_124, |text| text.parse().unwrap());
    println!("CUT_SEED={seed}");
    let mut seeds = Rng::new(seed);
    (0..count).map(move |_| Rng::new(seeds.number()))
}
