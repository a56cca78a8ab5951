//! The engine without the agent: tests/data/direct.cc, and what it says.

use super::super::SAME_GARBAGE;
use super::super::support::haproxy::repository;
use super::super::support::process::{end, guarded, spawn};
use super::Request;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// What came of a request, whoever was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was inspected.
    Inspected(Found),
    /// The engine threw an exception.
    Exception,
    /// The agent did not have it inspected (`error`).
    Refused(String),
}

/// What an inspection found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// 0: clean.
    pub status: i64,
    /// Where a redirect goes.
    pub url: Option<String>,
    /// The anomaly score, where it is a number.
    pub score: Option<i64>,
    /// Which rules matched, each once, in their order.
    pub rules: Vec<i64>,
}

/// A running direct.cc. Ends when dropped.
pub struct Direct {
    child: Child,
    requests: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Direct {
    /// Starts it with these rule files, in this order.
    pub fn start(rules: &[PathBuf]) -> Self {
        let mut command = guarded(program().to_str().unwrap());
        command.args(rules).envs(SAME_GARBAGE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command);
        let (requests, lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, requests, lines }
    }

    /// Asks it about each of them, one after the other; `id` is the transaction's.
    pub fn ask<'a>(&mut self, all: impl IntoIterator<Item = (&'a Request, &'a str, bool)>) -> Vec<Outcome> {
        let all: Vec<_> = all.into_iter().collect();
        let (requests, lines) = (&mut self.requests, &mut self.lines);
        std::thread::scope(|scope| {
            let inputs = &all;
            scope.spawn(move || {
                for (request, id, marked) in inputs {
                    // A program that has died is found out by what it does not answer.
                    drop(requests.write_all(&request.netstrings(id, *marked)));
                    drop(requests.flush());
                }
            });
            let mut answer = |request: &Request| {
                let mut line = Vec::new();
                lines.read_until(b'\n', &mut line).unwrap();
                assert!(line.ends_with(b"\n"), "the engine itself dies of\n{request}");
                Outcome::parse(&String::from_utf8_lossy(&line))
            };
            all.iter().map(|(request, ..)| answer(request)).collect()
        })
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Outcome {
    fn parse(line: &str) -> Self {
        let words: Vec<_> = line.split_whitespace().collect();
        if words.first() == Some(&"exception") {
            return Self::Exception;
        }
        let [status, url, score, rules] = words[..] else { panic!("direct says {line:?}") };
        let rules = rules.split(',').filter(|id| *id != "-").map(|id| id.parse().unwrap()).collect();
        let url = (url != "-").then(|| url.to_owned());
        Self::Inspected(Found { status: status.parse().unwrap(), url, score: score.parse().ok(), rules })
    }
}

/// The program, compiled once per run of the tests.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let flags = Command::new("pkg-config").args(["--cflags", "--libs", "modsecurity"]).output().unwrap();
        assert!(flags.status.success(), "pkg-config does not know modsecurity");
        let flags = String::from_utf8(flags.stdout).unwrap();
        // Under a name of this process's, then renamed: another run of the tests may be using the old one.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (fresh, path) = (folder.join(format!("direct-{}", std::process::id())), folder.join("direct"));
        let mut command = Command::new("c++");
        command.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&fresh);
        command.arg(repository("tests/data/direct.cc")).args(flags.split_whitespace());
        assert!(command.status().expect("no c++").success(), "c++ fails");
        std::fs::rename(&fresh, &path).unwrap();
        path
    })
}
