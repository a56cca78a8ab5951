//! `cargo bench --bench agent`: what the whole agent takes for a request without rules, straight over SPOP.
//!
//! The real agent with one worker, its engine in a process, and a browser's GETs on one link, so many at a time. CPU time
//! from the kernel's accounts: that of the front's threads, of the worker's thread, and of the engine's process. With
//! `--features engine2` for both engines. The least of all rounds, and the median of the sums: the machine has its moods.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod client;
mod message;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use actors::spop::FrameId;
use client::Client;
use modsecurity_spoa::rules::version::EngineVersion;

const ROUNDS: usize = 7;
const REQUESTS: u64 = 10_000;

/// A running agent. Ends when dropped.
struct Agent {
    process: Child,
    address: String,
}

impl Agent {
    fn start(version: EngineVersion, rules: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modsecurity-spoa"));
        command.args(["--engine", &version.number().to_string(), "-f", rules]);
        command.args(["-n", "1", "--listen", "127.0.0.1:0", "--deadline", "30s"]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find(|line| line.contains(" listening, ")).unwrap();
        let address = listening.split("address: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
        lines.find(|line| line.contains(" ready, ")).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    /// CPU time so far, in ns, of the front without its worker, of the worker, and of the engine.
    fn cpu(&self) -> [u64; 3] {
        let front = self.process.id();
        let mut sums = [0; 3];
        for pid in [front].into_iter().chain(children(front)).chain(children(front).flat_map(children)) {
            for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
                let task = task.unwrap().path();
                let name = fs::read_to_string(task.join("comm")).unwrap();
                let account = fs::read_to_string(task.join("schedstat")).unwrap();
                let place = if pid != front { 2 } else { usize::from(name.starts_with("worker")) };
                sums[place] += account.split(' ').next().unwrap().parse::<u64>().unwrap();
            }
        }
        sums
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It takes its engine along.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processes that this one has started.
fn children(pid: u32) -> impl Iterator<Item = u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    lists
        .collect::<String>()
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect::<Vec<_>>()
        .into_iter()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("none.conf");
    fs::write(&rules, "SecRuleEngine On\nSecRequestBodyAccess On\n").unwrap();
    println!(
        "µs of CPU a request without rules, least of {ROUNDS} rounds of {REQUESTS}; the sum: least (median)"
    );
    println!(
        "{:>20} {:>9} {:>11} {:>8} {:>8} {:>8} {:>16}",
        "", "in flight", "requests/s", "front", "worker", "engine", "sum"
    );
    for &version in EngineVersion::BUILT {
        for in_flight in [1, 20, 250] {
            let agent = Agent::start(version, rules.to_str().unwrap());
            let mut client = Client::connect(&agent.address);
            let batch: Vec<u8> =
                (0..in_flight).flat_map(|stream| message::notify(FrameId { stream, frame: 1 })).collect();
            let mut round = || {
                let (before, start) = (agent.cpu(), Instant::now());
                for _ in 0..REQUESTS / in_flight {
                    client.stream.write_all(&batch).unwrap();
                    (0..in_flight).for_each(|_| client.receive());
                }
                let (after, sent) = (agent.cpu(), (REQUESTS / in_flight * in_flight) as f64);
                let rate = sent / start.elapsed().as_secs_f64();
                (rate, [0, 1, 2].map(|part| (after[part] - before[part]) as f64 / 1e3 / sent))
            };
            round();
            let rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
            let least = |part: usize| rounds.iter().map(|(_, cpu)| cpu[part]).fold(f64::MAX, f64::min);
            let rate = rounds.iter().map(|(rate, _)| *rate).fold(0.0, f64::max);
            let mut sums: Vec<f64> = rounds.iter().map(|(_, cpu)| cpu.iter().sum()).collect();
            sums.sort_by(f64::total_cmp);
            println!(
                "{:>20} {in_flight:>9} {rate:>11.0} {:>8.1} {:>8.1} {:>8.1} {:>7.1} ({:>6.1})",
                version.to_string(),
                least(0),
                least(1),
                least(2),
                sums[0],
                sums[ROUNDS / 2]
            );
        }
    }
}
