//! All requests given to libmodsecurity without the agent: by tests/data/direct.c, which uses nothing of the project.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cases::Case;
use crate::http::Parts;
use crate::straight::Rules;
use crate::support::agent::rule_file;
use crate::support::haproxy::repository;

/// The rules that the engine itself logs, for each test.
pub fn run(cases: &[Case], rules: &str) -> Vec<Rules> {
    let (folder, rules) = rule_file(rules);
    let program = folder.path().join("direct");
    compile(&program);
    let mut command = Command::new(program);
    let mut child = command.arg(rules).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut requests, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let found = std::thread::scope(|scope| {
        scope.spawn(move || {
            for case in cases {
                requests.write_all(&encode(&Parts::of(&case.request))).unwrap();
            }
        });
        let lines = BufReader::new(answers).lines();
        lines.map(|line| line.unwrap().split_whitespace().map(|id| id.parse().unwrap()).collect()).collect()
    });
    assert!(child.wait().unwrap().success());
    found
}

fn compile(program: &Path) {
    let mut command = Command::new("cc");
    command.args(["-O1", "-Wall", "-Werror", "-o"]).arg(program).arg(repository("tests/data/direct.c"));
    assert!(command.arg("-lmodsecurity").status().expect("cannot start cc").success());
}

fn encode(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [parts.method.as_bytes(), parts.uri.as_bytes(), parts.version.as_bytes(), &parts.body] {
        text(&mut out, part);
    }
    number(&mut out, parts.headers.len());
    for (name, value) in &parts.headers {
        text(&mut out, name);
        text(&mut out, value);
    }
    out
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
}
