//! All requests given to the engine without the agent: by tests/data/direct.c, or direct2.c for version 2, which use
//! nothing of the project.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::cases::Case;
use crate::http::Parts;
use crate::straight::Rules;
use crate::support::agent::rule_file;
use crate::support::direct::{Direct, compile_2, compile_3};
use crate::support::process::engine;

/// The rules that the engine itself logs, for each test.
pub fn run(cases: &[Case], rules: &str) -> Vec<Rules> {
    let (folder, rules) = rule_file(rules);
    let program = folder.path().join("direct");
    if engine() == 2 {
        compile_2(&program);
    } else {
        compile_3(&program);
    }
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

fn encode(parts: &Parts) -> Vec<u8> {
    let request = Direct {
        method: parts.method.as_bytes(),
        uri: parts.uri.as_bytes(),
        version: parts.version.as_bytes(),
        body: &parts.body,
        headers: &parts.headers,
    };
    request.encode()
}
