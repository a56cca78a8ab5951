//! `cargo bench --all-features --bench screen`: what a clean request costs the screen, and what it costs the engine, with the
//! Core Rule Set as it is installed. `SCREEN_RULES` names the folder of another one, with crs-setup.conf beside it.
//!
//! CPU time from the kernel's accounts, the least of all rounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, unreachable_pub)]

mod message;

use std::fs;
use std::path::PathBuf;

use modsecurity_spoa::message::HttpMessage;
use modsecurity_spoa::message::decode::decode;
use modsecurity_spoa::modsecurity::parked::RetentionLimits;
use modsecurity_spoa::modsecurity::{ModSecurity, Rules};
use modsecurity_spoa::rules::screening::{ScreenMode, Screening};
use modsecurity_spoa::rules::sources::{RuleSource, RuleSources};
use modsecurity_spoa::rules::version::EngineVersion;
use modsecurity_spoa::screen::Finding;

const ROUNDS: usize = 7;

const PROSE: &str = "The delivery came on Tuesday and the box was fine";

fn message_of(content: &str, body: &str, more: &[(&'static str, &'static str)]) -> HttpMessage {
    let (method, length) = (if body.is_empty() { "GET" } else { "POST" }, body.len().to_string());
    let mut headers: Vec<(&str, &str)> = message::HEADERS.to_vec();
    headers.extend_from_slice(more);
    if !body.is_empty() {
        headers.extend([("content-type", content), ("content-length", &length)]);
    }
    let payload = message::payload_of(method, &headers, body.as_bytes()).freeze();
    decode(&payload, "16aa3d069273781eed0baf45dbef0b7b".to_owned()).unwrap()
}

fn form(length: usize) -> String {
    let fields = length / (PROSE.len() + 8);
    let fields = (0..fields).map(|number| format!("field{number}={}", PROSE.replace(' ', "+")));
    fields.collect::<Vec<_>>().join("&")
}

fn json(length: usize) -> String {
    let items = (0..length / 80).map(|number| format!("{{\"number\":{number},\"text\":\"{PROSE}\"}}"));
    format!("{{\"order\":[{}]}}", items.collect::<Vec<_>>().join(","))
}

fn multipart() -> String {
    let part = |name: &str, file: &str, body: &str| {
        format!("--x7x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{body}\r\n")
    };
    let file = "; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg";
    part("name", "", "Anna")
        + &part("comment", "", PROSE)
        + &part("photo", file, &PROSE.repeat(40))
        + "--x7x--\r\n"
}

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> f64 {
    let account = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    account.split(' ').next().unwrap().parse().unwrap()
}

/// The least µs of CPU that one run takes.
fn least(count: u32, mut run: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let before = cpu();
        (0..count).for_each(|_| run());
        (cpu() - before) / 1e3 / f64::from(count)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn compare(version: EngineVersion, kinds: &[(&str, HttpMessage)]) {
    let folder = tempfile::tempdir().unwrap();
    let settings = match version {
        EngineVersion::V2 => {
            concat!(
                include_str!("../../src/modsecurity/default.conf"),
                include_str!("../../src/modsecurity/v2/default.conf")
            )
        }
        EngineVersion::V3 => include_str!("../../src/modsecurity/default.conf"),
    };
    let rules = match std::env::var("SCREEN_RULES") {
        Ok(rules) => format!("Include {rules}/../crs-setup.conf\nInclude {rules}/*.conf\n"),
        Err(_) => {
            "Include /etc/modsecurity/crs/crs-setup.conf\nInclude /usr/share/modsecurity-crs/rules/*.conf\n"
                .to_owned()
        }
    };
    let file = folder.path().join("rules.conf");
    fs::write(&file, format!("{settings}\n{rules}")).unwrap();
    let sources = |mode| RuleSources {
        engine: version,
        default: RuleSource::Files(vec![PathBuf::from(&file)]),
        applications: Vec::new(),
        screening: Screening { mode, sample: 256 },
    };
    let rules = Rules::load(&sources(ScreenMode::Off)).unwrap().0;
    let with = Rules::load(&sources(ScreenMode::On)).unwrap().0;
    let screen = with.screen(None).unwrap().as_ref().unwrap();
    let mut scratch = screen.scratch();
    let mut engine = ModSecurity::new(&rules, RetentionLimits::NONE).unwrap();
    println!("{version}: {} guards, {} KiB shared", screen.counts().guards, screen.memory() / 1024);
    println!("{:<24}{:>12}{:>12}{:>8}", "", "screen µs", "engine µs", "ratio");
    for (name, message) in kinds {
        let HttpMessage::Request(request) = message else { unreachable!() };
        let found = screen.examine(&mut scratch, request);
        let screened = least(300, || {
            std::hint::black_box(screen.examine(&mut scratch, request));
        });
        let inspected = least(30, || drop(std::hint::black_box(engine.inspect(message).unwrap())));
        let ratio = inspected / screened;
        let said = if let Finding::NotProven(reason) = found {
            format!("not proven: {reason}")
        } else {
            String::new()
        };
        println!("{name:<24}{screened:>12.1}{inspected:>12.1}{ratio:>8.1} {said}");
    }
    println!("one engine adds {} KiB", scratch.memory() / 1024);
}

fn main() {
    let kind = "application/x-www-form-urlencoded";
    let bearer = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    let kinds = [
        ("GET, a browser's", message_of("", "", &[])),
        ("GET, an API's", message_of("", "", &[("authorization", bearer)])),
        ("form, 2 KB", message_of(kind, &form(2048), &[])),
        ("form, 12 KB", message_of(kind, &form(12_288), &[])),
        ("JSON, 2 KB", message_of("application/json", &json(2048), &[])),
        ("multipart with a file", message_of("multipart/form-data; boundary=x7x", &multipart(), &[])),
    ];
    for version in EngineVersion::BUILT {
        compare(*version, &kinds);
    }
}
