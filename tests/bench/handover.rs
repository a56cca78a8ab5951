//! `cargo bench --bench handover`: what an engine process costs above an engine in the same thread.
//!
//! First the hand-over alone: a job of 3 KB that the engine's process reads, refuses as a message of another name, and
//! answers. Then the same request through an engine without rules, in its process and in this thread: what an engine
//! takes for a bare transaction differs more from run to run than the hand-over costs. For each engine that was built.
//!
//! CPU time from the kernel's accounts: this thread's, and that of the engine's process. All in turns, so that the machine's
//! moods hit all. Waking an idle CPU costs most of all: `taskset -c 0` shows the rest.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod message;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actors::{Engine, EngineError};
use modsecurity_spoa::isolation::EngineLimits;
use modsecurity_spoa::isolation::process::sandbox::{EngineUser, SandboxSettings};
use modsecurity_spoa::isolation::process::{EngineProcess, ZygoteHost, invoked_as_zygote, run_zygote};
use modsecurity_spoa::message::HttpMessage;
use modsecurity_spoa::message::decode::decode;
use modsecurity_spoa::modsecurity::parked::RetentionLimits;
use modsecurity_spoa::modsecurity::{ModSecurity, Rules};
use modsecurity_spoa::rules::screening::Screening;
use modsecurity_spoa::rules::sources::RuleSource;
use modsecurity_spoa::rules::sources::RuleSources;
use modsecurity_spoa::rules::version::EngineVersion;
use slog::{Discard, Logger, o};

const ROUNDS: usize = 5;
const REQUESTS: u32 = 10_000;

/// CPU time of a process or thread.
fn cpu(path: &str) -> Duration {
    let account = fs::read_to_string(path).unwrap();
    Duration::from_nanos(account.split(' ').next().unwrap().parse().unwrap())
}

/// The one engine process: a child of our child, the zygote.
fn engine_process() -> String {
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let comm = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let status = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let parent = status.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).unwrap_or("0");
        let parent_stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
        let grandparent =
            parent_stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).unwrap_or("0");
        if comm.starts_with("engine-") && grandparent == std::process::id().to_string() {
            return path.join("schedstat").to_str().unwrap().to_owned();
        }
    }
    panic!("no engine process");
}

/// µs of CPU a request, on the paths given.
fn measure(mut inspect: impl FnMut(), paths: &[&str]) -> Vec<f64> {
    let before: Vec<_> = paths.iter().map(|path| cpu(path)).collect();
    for _ in 0..REQUESTS {
        inspect();
    }
    let used = paths.iter().zip(before).map(|(path, before)| cpu(path) - before);
    used.map(|used| used.as_secs_f64() * 1e6 / f64::from(REQUESTS)).collect()
}

/// One request's way to an engine process and back.
fn hand_over(engine: &mut EngineProcess, request: &HttpMessage) {
    engine.inspect(&[request], &mut |_, inspected| {
        assert!(!matches!(inspected, Err(EngineError::Dead(_) | EngineError::DeadBefore(_))));
    });
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if invoked_as_zygote(&words) {
        return ExitCode::from(run_zygote(&words) as u8);
    }
    for &version in EngineVersion::BUILT {
        println!("{version}, without rules");
        compare(version);
    }
    ExitCode::SUCCESS
}

/// One engine in a process of its own and in this thread.
fn compare(version: EngineVersion) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.conf");
    fs::write(&file, "SecRuleEngine On\nSecRequestBodyAccess On\n").unwrap();
    let default = RuleSource::Files(vec![file]);
    let rules = RuleSources { engine: version, default, applications: Vec::new(), screening: Screening::OFF };
    let log = Logger::root(Discard, o!());
    let sandbox = SandboxSettings { is_on: true, user: EngineUser::Own };
    let (zygote_host, _) = ZygoteHost::start(&rules, RetentionLimits::NONE, sandbox, &log).unwrap();
    let long = Duration::from_secs(2);
    let limits = EngineLimits { cpu: long, stall: long, responses: RetentionLimits::NONE, sandbox };
    let mut process = EngineProcess::start(1, Arc::new(zygote_host), limits, &log).unwrap();
    let mut thread = ModSecurity::new(&Rules::load(&rules).unwrap().0, RetentionLimits::NONE).unwrap();
    let payload = message::payload_with_body(&[b'a'; 3000]).freeze();
    let request = decode(&payload, "16aa3d069273781eed0baf45dbef0b7b".to_owned()).unwrap();
    let (here, there) = ("/proc/thread-self/schedstat", engine_process());
    // The name of the message, one letter off.
    let mut refused = request.clone();
    if let HttpMessage::Request(refused) = &mut refused {
        let mut other = payload.to_vec();
        other[1] = b'C';
        refused.payload = other.into();
    }
    println!("µs of CPU a request of {} bytes, {REQUESTS} requests a row", payload.len());
    println!(
        "{:>8} {:>8} {:>8} | {:>8} {:>8} {:>9}",
        "worker", "engine", "hand-over", "worker", "engine", "in thread"
    );
    for _ in 0..ROUNDS {
        let empty = measure(|| hand_over(&mut process, &refused), &[here, &there]);
        let apart = measure(|| hand_over(&mut process, &request), &[here, &there]);
        let alone = measure(|| drop(thread.inspect(&request).unwrap()), &[here])[0];
        let sum = empty[0] + empty[1];
        println!(
            "{:>8.2} {:>8.2} {sum:>9.2} | {:>8.2} {:>8.2} {alone:>9.2}",
            empty[0], empty[1], apart[0], apart[1]
        );
    }
}
