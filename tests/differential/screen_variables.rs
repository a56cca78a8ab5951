//! Does the screen see of a request what rules of each engine see? Random requests go through the program's own shims into
//! the engines (tests/data/variables.cc and variables2.c), and all variables are compared, after phase 1 and after phase 2.
//!
//! `SCREEN_SEED` gives other requests (without it they are new in each run, and the seed is printed), `SCREEN_REQUESTS` more
//! of them for each engine.

use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use modsecurity_spoa::ffi::body_processor::BodyProcessor;
use modsecurity_spoa::message::headers::Headers;
use modsecurity_spoa::message::request::{AnswerOptions, Endpoint, Request};
use modsecurity_spoa::rules::version::EngineVersion;
use modsecurity_spoa::screen::variables::{BodyRules, Collection, HandOver, Limits, Room, Scalar, Variables};

use crate::random::rng::Rng;
use crate::screen_samples::{Sample, request};
use crate::setting;
use crate::support::agent::rule_file;
use crate::support::direct::{compile_2_with_shim, compile_3_from};
use crate::support::process::{end, guarded, spawn};

/// Requests that are with the engine at a time.
const BATCH: usize = 256;

/// The engine's settings, and how it is told of JSON and XML.
const RULES: &str = "SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 16777216
SecRequestBodyNoFilesLimit 16777216
SecRequestBodyJsonDepthLimit 8
SecArgumentsLimit 40
SecRule REQUEST_HEADERS:Content-Type \"@rx (?i)^\\s*text/xml\" \"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=XML\"
SecRule REQUEST_HEADERS:Content-Type \"@rx (?i)^\\s*application/json\" \"id:2,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"
SecRule REQUEST_METHOD \"@streq FORCE\" \"id:3,phase:1,nolog,pass,ctl:forceRequestBodyVariable=On\"
";

fn limits(version: EngineVersion) -> Limits {
    Limits {
        arguments: Some(40),
        body_access: true,
        body: 16_777_216,
        body_no_files: 16_777_216,
        json_depth: 8,
        ..Limits::new(version)
    }
}

/// What is seen after phase 1, and after phase 2.
type Phases = (Vec<Seen>, Result<Vec<Seen>, HandOver>);

/// A variable, a member, and its value.
type Seen = (String, Vec<u8>, Vec<u8>);

const SCALARS: [&str; 18] = [
    "ARGS_COMBINED_SIZE",
    "FILES_COMBINED_SIZE",
    "MULTIPART_STRICT_ERROR",
    "MULTIPART_UNMATCHED_BOUNDARY",
    "QUERY_STRING",
    "REQBODY_ERROR",
    "REQBODY_PROCESSOR",
    "REQBODY_PROCESSOR_ERROR",
    "REQUEST_BASENAME",
    "REQUEST_BODY",
    "REQUEST_BODY_LENGTH",
    "REQUEST_FILENAME",
    "REQUEST_LINE",
    "REQUEST_METHOD",
    "REQUEST_PROTOCOL",
    "REQUEST_URI",
    "REQUEST_URI_RAW",
    "URLENCODED_ERROR",
];

const COLLECTIONS: [&str; 7] = [
    "ARGS",
    "ARGS_GET",
    "ARGS_POST",
    "FILES",
    "MULTIPART_PART_HEADERS",
    "REQUEST_COOKIES",
    "REQUEST_HEADERS",
];

fn all(variables: &Variables<'_>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for name in SCALARS {
        if let Some(value) = variables.scalar(Scalar::from_name(name).unwrap()) {
            seen.push((name.to_owned(), Vec::new(), value.to_vec()));
        }
    }
    for name in COLLECTIONS {
        let (collection, _) = Collection::from_name(name).unwrap();
        assert_eq!(variables.count(collection), variables.members(collection).count());
        for member in variables.members(collection) {
            seen.push((name.to_owned(), member.name.to_vec(), member.value.to_vec()));
        }
    }
    seen.sort();
    seen
}

/// What the screen sees after phase 1 and after phase 2.
fn screen(
    version: EngineVersion,
    request: &Request,
    processor: Option<BodyProcessor>,
    room: &mut Room,
) -> Result<Phases, HandOver> {
    let limits = limits(version);
    let mut variables = Variables::read(request, version, &limits, room)?;
    let kind =
        request.headers.first("content-type").unwrap_or_default().trim_ascii_start().to_ascii_lowercase();
    if !kind.starts_with(b"application/json") && !kind.starts_with(b"text/xml") {
        assert_eq!(variables.processor(), processor, "{:?}", request.headers);
    }
    // Rules choose the parser at the end of phase 1: its name is not compared before.
    variables.choose(processor);
    let first = all(&variables);
    let rules = BodyRules { processor, forces_variable: &request.method[..] == b"FORCE" };
    let second = variables.read_body(rules, (&request.body[..]).into()).map(|()| all(&variables));
    Ok((first, second))
}

fn built(sample: &Sample) -> Request {
    let mut list = Vec::new();
    let mut put = |text: &[u8]| {
        varint(text.len(), &mut list);
        list.extend_from_slice(text);
    };
    for (name, value) in &sample.headers {
        put(name);
        put(value);
    }
    list.extend_from_slice(&[0, 0]);
    let nobody = Endpoint::default();
    Request {
        id: "id".to_owned(),
        unique_id: None,
        client: nobody,
        server: nobody,
        method: sample.method.clone().into(),
        uri: sample.uri.clone().into(),
        version: "1.1".into(),
        headers: Headers::Binary(list.into()),
        body: sample.body.clone().into(),
        truncated: false,
        announced: sample.body.len() as u64,
        application: None,
        options: AnswerOptions { detect_only: false, export_rules: false },
        ignored_rules: Vec::new(),
        payload: sample.body.clone().into(),
    }
}

/// The length of a text in HAProxy's list of headers.
fn varint(mut number: usize, out: &mut Vec<u8>) {
    if number < 240 {
        out.push(number as u8);
        return;
    }
    out.push(number as u8 | 0xF0);
    number = (number - 240) >> 4;
    while number >= 128 {
        out.push(number as u8 | 0x80);
        number = (number - 128) >> 7;
    }
    out.push(number as u8);
}

struct Engine {
    child: Child,
    answers: BufReader<ChildStdout>,
    _rules: tempfile::TempDir,
}

/// What the engine sees.
struct Answer {
    processor: Option<BodyProcessor>,
    phases: [Vec<Seen>; 2],
}

impl Engine {
    fn start(version: EngineVersion) -> Self {
        let (folder, rules) = rule_file(RULES);
        let program = folder.path().join("variables");
        match version {
            EngineVersion::V2 => compile_2_with_shim("variables2.c", &program),
            EngineVersion::V3 => compile_3_from("variables.cc", &program),
        }
        let mut command = guarded(program.to_str().unwrap());
        command.arg(rules).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command);
        let answers = BufReader::with_capacity(1 << 16, child.stdout.take().unwrap());
        Self { child, answers, _rules: folder }
    }

    fn ask(&mut self, samples: &[Sample]) -> Vec<Answer> {
        let (requests, answers) = (self.child.stdin.as_mut().unwrap(), &mut self.answers);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut requests = BufWriter::with_capacity(1 << 16, requests);
                for sample in samples {
                    let count = sample.headers.len().to_string();
                    let path = sample.restored_path();
                    let mut texts: Vec<&[u8]> =
                        vec![&sample.method, &sample.uri, b"1.1", &path, &sample.body, count.as_bytes()];
                    texts.extend(sample.headers.iter().flat_map(|(name, value)| [&name[..], &value[..]]));
                    for text in texts {
                        requests.write_all(&u32::try_from(text.len()).unwrap().to_be_bytes()).unwrap();
                        requests.write_all(text).unwrap();
                    }
                }
                requests.flush().unwrap();
            });
            let mut text = || {
                let mut length = [0; 4];
                answers.read_exact(&mut length).expect("the engine itself dies");
                let mut text = vec![0; u32::from_be_bytes(length) as usize];
                answers.read_exact(&mut text).unwrap();
                text
            };
            let mut answer = |_| {
                let processor = match &text()[..] {
                    b"1" => Some(BodyProcessor::UrlEncoded),
                    b"2" => Some(BodyProcessor::Multipart),
                    b"3" => Some(BodyProcessor::Json),
                    b"4" => Some(BodyProcessor::Xml),
                    _ => None,
                };
                let mut phase = || {
                    let mut seen = Vec::new();
                    loop {
                        let variable = String::from_utf8(text()).unwrap();
                        if variable.is_empty() {
                            break;
                        }
                        seen.push((variable, text(), text()));
                    }
                    seen.sort();
                    seen
                };
                Answer { processor, phases: [phase(), phase()] }
            };
            samples.iter().map(&mut answer).collect()
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// What the engine has, of what is compared.
fn comparable(seen: &[Seen]) -> Vec<&Seen> {
    let compared = |name: &str| SCALARS.contains(&name) || COLLECTIONS.contains(&name);
    seen.iter().filter(|(name, ..)| compared(name)).collect()
}

fn assert_same(version: EngineVersion, sample: &Sample, phase: u8, engine: &[Seen], screen: &[Seen]) {
    let (engine, screen) = (comparable(engine), screen.iter().collect::<Vec<_>>());
    if engine == screen {
        return;
    }
    let show =
        |seen: &Seen| format!("  {} b\"{}\" b\"{}\"", seen.0, seen.1.escape_ascii(), seen.2.escape_ascii());
    let only = |these: &[&Seen], those: &[&Seen]| -> String {
        these.iter().filter(|seen| !those.contains(seen)).map(|seen| show(seen) + "\n").collect()
    };
    panic!(
        "{version:?}, phase {phase}\n{sample}\nonly the engine has\n{}only the screen has\n{}",
        only(&engine, &screen),
        only(&screen, &engine)
    );
}

fn compare(version: EngineVersion) {
    let fresh = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = std::env::var("SCREEN_SEED").map_or_else(|_| fresh(), |text| text.parse().unwrap());
    let count = setting("SCREEN_REQUESTS", 10_000);
    println!("SCREEN_SEED={seed} SCREEN_REQUESTS={count}");
    let mut rng = Rng::new(seed);
    let mut engine = Engine::start(version);
    let mut room = Room::default();
    let mut tally = std::collections::BTreeMap::<String, u64>::new();
    for _ in 0..count.div_ceil(BATCH as u64) {
        let samples: Vec<_> = (0..BATCH).map(|_| request(&mut rng)).collect();
        for (sample, answer) in samples.iter().zip(engine.ask(&samples)) {
            let request = built(sample);
            let mut note = |what: String| *tally.entry(what).or_default() += 1;
            match screen(version, &request, answer.processor, &mut room) {
                Err(reason) => note(format!("request: {reason}")),
                Ok((first, second)) => {
                    assert_same(version, sample, 1, &answer.phases[0], &first);
                    let kind = format!("{:?}", answer.processor);
                    match second {
                        Err(reason) => {
                            if reason == HandOver::Json {
                                let is_error = |seen: &&Seen| seen.0 == "REQBODY_ERROR" && seen.2 == b"1";
                                assert!(answer.phases[1].iter().any(|seen| is_error(&seen)), "{sample}");
                            }
                            note(format!("{kind}: {reason}"));
                        }
                        Ok(second) => {
                            assert_same(version, sample, 2, &answer.phases[1], &second);
                            note(format!("{kind}: compared"));
                        }
                    }
                }
            }
        }
    }
    println!("{tally:#?}");
    for kind in ["None", "Some(UrlEncoded)", "Some(Json)", "Some(Multipart)"] {
        let compared = tally.get(&format!("{kind}: compared")).copied().unwrap_or_default();
        assert!(compared > count / 20, "hardly any {kind} is compared");
    }
}

#[test]
fn the_screen_sees_what_rules_of_libmodsecurity_3_see() {
    compare(EngineVersion::V3);
}

#[cfg(feature = "engine2")]
#[test]
fn the_screen_sees_what_rules_of_modsecurity_2_see() {
    compare(EngineVersion::V2);
}
