//! `cargo bench --features engine2 --bench engines`: what a request costs in each engine, with the Core Rule Set.
//!
//! The same requests, which are clean, in three ways, in turns, so that the machine's moods hit all:
//! - `2.9 upstream`: ModSecurity 2.9 standalone as its own calls drive it (tests/data/direct2.c), as a daemon in C does;
//! - `2.9`: the same library in this program;
//! - `3`: libmodsecurity 3 in this program.
//!
//! CPU time from the kernel's accounts, the least of all rounds and the median. After that: whether memory grows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, unreachable_pub)]

#[path = "../support/direct.rs"]
mod direct;
mod message;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use direct::Direct;
use modsecurity_spoa::message::HttpMessage;
use modsecurity_spoa::message::decode::decode;
use modsecurity_spoa::modsecurity::parked::RetentionLimits;
use modsecurity_spoa::modsecurity::{ModSecurity, Rules};
use modsecurity_spoa::rules::screening::Screening;
use modsecurity_spoa::rules::sources::RuleSource;
use modsecurity_spoa::rules::sources::RuleSources;
use modsecurity_spoa::rules::version::EngineVersion;

const ROUNDS: usize = 7;

/// Requests in the check of memory, and after how many it must not grow any more.
const LASTING: usize = 20_000;
const WARM: usize = 2_000;

/// The agent's own settings and the Core Rule Set as it is installed, at paranoia 1.
const SETTINGS: &str = include_str!("../../src/modsecurity/default.conf");
const SETTINGS_2: &str = include_str!("../../src/modsecurity/v2/default.conf");
const LAST_2: &str = include_str!("../../src/modsecurity/v2/last.conf");
const CRS: &str =
    "Include /etc/modsecurity/crs/crs-setup.conf\nInclude /usr/share/modsecurity-crs/rules/*.conf\n";

/// One kind of request.
struct Kind {
    name: &'static str,
    /// How many a round.
    count: u32,
    /// What 2.9 may cost here, of what it costs upstream.
    wanted: Option<f64>,
    message: HttpMessage,
    /// For upstream's.
    encoded: Vec<u8>,
}

impl Kind {
    fn new(name: &'static str, count: u32, wanted: Option<f64>, content: &str, body: &str) -> Self {
        let (method, length) = (if body.is_empty() { "GET" } else { "POST" }, body.len().to_string());
        let mut headers = message::HEADERS.to_vec();
        if !body.is_empty() {
            headers.extend([("content-type", content), ("content-length", &length)]);
        }
        let payload = message::payload_of(method, &headers, body.as_bytes()).freeze();
        let message = decode(&payload, "16aa3d069273781eed0baf45dbef0b7b".to_owned()).unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let uri = format!("{}?{}", message::PATH, message::QUERY);
        let request = Direct {
            method: method.as_bytes(),
            uri: uri.as_bytes(),
            version: b"1.1",
            body: body.as_bytes(),
            headers: &headers,
        };
        Self { name, count, wanted, message, encoded: request.encode() }
    }
}

/// What somebody may write into a form.
const PROSE: [&str; 4] = [
    "The delivery came on Tuesday and the box was fine",
    "Brown shoes of size 42 for running on wet streets",
    "Please ring twice as the bell is not very loud",
    "I have ordered here before and was happy with it",
];

fn form(length: usize) -> String {
    let mut body = String::new();
    for field in 0.. {
        let text = PROSE[field % PROSE.len()].replace(' ', "+");
        body += &format!("field{field}={text}&");
        if body.len() >= length {
            break;
        }
    }
    body.truncate(length);
    body.trim_end_matches('&').to_owned()
}

fn json(length: usize) -> String {
    let mut items = Vec::new();
    let mut size = 0;
    for number in 0.. {
        let text = PROSE[number % PROSE.len()];
        let item = format!(r#"{{"number":{number},"size":{},"text":"{text}"}}"#, number % 50);
        size += item.len() + 1;
        items.push(item);
        if size >= length {
            break;
        }
    }
    format!(r#"{{"order":[{}]}}"#, items.join(","))
}

/// Something that inspects requests.
trait Contestant {
    /// Inspects this one so many times; gives µs of CPU for one.
    fn run(&mut self, kind: &Kind) -> f64;
}

/// An engine in this thread.
struct Here(ModSecurity);

impl Here {
    fn new(engine: EngineVersion, file: PathBuf) -> Self {
        let default = RuleSource::Files(vec![file]);
        let sources = RuleSources { engine, default, applications: Vec::new(), screening: Screening::OFF };
        Self(ModSecurity::new(&Rules::load(&sources).unwrap().0, RetentionLimits::NONE).unwrap())
    }

    fn inspect(&mut self, kind: &Kind) {
        let verdict = self.0.inspect(&kind.message).unwrap();
        assert!(verdict.intervention.is_none() && verdict.rules.is_empty(), "{}: {verdict:?}", kind.name);
    }
}

impl Contestant for Here {
    fn run(&mut self, kind: &Kind) -> f64 {
        let before = cpu();
        for _ in 0..kind.count {
            self.inspect(kind);
        }
        (cpu() - before) / 1e3 / f64::from(kind.count)
    }
}

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> f64 {
    let account = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    account.split(' ').next().unwrap().parse().unwrap()
}

/// The same library in a process of its own, without this program.
struct Upstream {
    child: Child,
    requests: ChildStdin,
    times: BufReader<ChildStdout>,
}

impl Upstream {
    fn new(folder: &Path, file: &Path, count: u32) -> Self {
        let program = folder.join("direct2");
        if !program.exists() {
            direct::compile_2(&program);
        }
        let mut command = Command::new(program);
        command.arg(file).arg(count.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (requests, times) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, requests, times: BufReader::new(times) }
    }
}

impl Contestant for Upstream {
    fn run(&mut self, kind: &Kind) -> f64 {
        self.requests.write_all(&kind.encoded).unwrap();
        self.requests.flush().unwrap();
        let mut line = String::new();
        self.times.read_line(&mut line).unwrap();
        line.trim().parse::<f64>().expect("a time from direct2") / 1e3
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The least and the median.
fn summary(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (file_2, file_3) = (folder.path().join("2.conf"), folder.path().join("3.conf"));
    fs::write(&file_2, format!("{SETTINGS}{SETTINGS_2}{CRS}{LAST_2}")).unwrap();
    fs::write(&file_3, format!("{SETTINGS}{CRS}")).unwrap();
    let urlencoded = "application/x-www-form-urlencoded";
    let kinds = [
        Kind::new("GET", 200, Some(1.0 / 2.0), "", ""),
        Kind::new("form 2 KB", 60, Some(1.0 / 3.0), urlencoded, &form(2048)),
        Kind::new("JSON 2 KB", 30, None, "application/json", &json(2048)),
        Kind::new("form 12 KB", 15, None, urlencoded, &form(12_288)),
    ];
    let mut two = Here::new(EngineVersion::V2, file_2.clone());
    check_memory(&mut two, &kinds);
    let mut three = Here::new(EngineVersion::V3, file_3);
    println!("µs of CPU a request, least (median) of {ROUNDS} rounds; Core Rule Set, paranoia 1");
    println!(
        "{:>10} | {:>17} {:>17} {:>17} | {:>12} {:>8} | {:>6}",
        "", "2.9 upstream", "2.9", "3", "2.9/upstream", "at most", "3/2.9"
    );
    for kind in &kinds {
        let mut upstream = Upstream::new(folder.path(), &file_2, kind.count);
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            let contestants: [&mut dyn Contestant; 3] = [&mut upstream, &mut two, &mut three];
            for (times, contestant) in times.iter_mut().zip(contestants) {
                times.push(contestant.run(kind));
            }
        }
        let [upstream, two, three] = times.map(summary);
        let cell = |(least, median): (f64, f64)| format!("{least:.0} ({median:.0})");
        let wanted = kind.wanted.map_or_else(String::new, |wanted| format!("{wanted:.2}"));
        println!(
            "{:>10} | {:>17} {:>17} {:>17} | {:>12.2} {wanted:>8} | {:>6.2}",
            kind.name,
            cell(upstream),
            cell(two),
            cell(three),
            two.0 / upstream.0,
            three.0 / two.0
        );
    }
}

/// Nine requests of ten are the first kind's.
fn check_memory(engine: &mut Here, kinds: &[Kind]) {
    let mut seen = Vec::new();
    for request in 0..=LASTING {
        if request % WARM == 0 {
            seen.push(resident());
        }
        let kind = if request % 10 == 0 { &kinds[request / 10 % kinds.len()] } else { &kinds[0] };
        engine.inspect(kind);
    }
    println!("KiB resident with 2.9, after each {WARM} of {LASTING} requests: {seen:?}");
    println!("growth after the first {WARM}: {} KiB\n", seen.last().unwrap().saturating_sub(seen[1]));
}
