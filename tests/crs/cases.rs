//! The Core Rule Set's tests as they are in its YAML files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use yaml_rust2::{Yaml, YamlLoader};

use crate::ftw::{self, Input};
use crate::support::haproxy::repository;

/// One test: all of them have one stage.
pub struct Case {
    /// Its title; the second of two with the same one has `/2` behind it.
    pub name: String,
    /// What the framework would write to the socket.
    pub request: Vec<u8>,
    pub expected: Expected,
}

/// What must come of it. At least one of the three is there.
#[derive(Debug)]
pub struct Expected {
    /// A rule that must be in the engine's log, or (`false`) must not.
    pub rule: Option<(u64, bool)>,
    /// The statuses of which the client must get one.
    pub statuses: Vec<i64>,
    /// The client must get no response that it can read.
    pub error: bool,
}

/// All tests of the source package of the installed rules, also those in files that are switched off.
pub fn load() -> Vec<Case> {
    let mut command = Command::new(repository("tests/crs/get-tests.sh"));
    let output = command.arg(env!("CARGO_TARGET_TMPDIR")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tests/crs/get-tests.sh failed:\n{errors}");
    let folder = String::from_utf8(output.stdout).unwrap();
    let mut files = Vec::new();
    collect(Path::new(folder.trim_end()), &mut files);
    files.sort();
    let mut cases: Vec<_> = files.iter().flat_map(|file| read(file)).collect();
    let mut seen = HashMap::new();
    for case in &mut cases {
        let count = seen.entry(case.name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            case.name += &format!("/{count}");
        }
    }
    cases
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}

fn read(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap();
    let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let [document] = &documents[..] else { panic!("{}: not one document", file.display()) };
    list(&document["tests"]).iter().map(case).collect()
}

fn case(test: &Yaml) -> Case {
    let name = test["test_title"].as_str().unwrap().to_owned();
    let [stage] = list(&test["stages"]) else { panic!("{name}: not one stage") };
    let stage = &stage["stage"];
    let request = ftw::request(&input(&stage["input"]));
    let expected = expected(&stage["output"]);
    assert!(expected.rule.is_some() || !expected.statuses.is_empty() || expected.error, "{name}: {stage:?}");
    Case { name, request, expected }
}

fn input(yaml: &Yaml) -> Input {
    let string = |key: &str| optional(&yaml[key]).map(scalar);
    let headers = optional(&yaml["headers"]).map(|headers| headers.as_hash().unwrap().iter());
    Input {
        method: string("method").unwrap_or_else(|| "GET".to_owned()),
        uri: string("uri").unwrap_or_else(|| "/".to_owned()),
        version: string("version").unwrap_or_else(|| "HTTP/1.1".to_owned()),
        headers: headers.into_iter().flatten().map(|(name, value)| (scalar(name), scalar(value))).collect(),
        data: match &yaml["data"] {
            Yaml::Array(lines) => lines.iter().map(scalar).collect::<Vec<_>>().join("\r\n"),
            other => optional(other).map(scalar).unwrap_or_default(),
        },
        stop_magic: optional(&yaml["stop_magic"]).is_some_and(|stop| stop.as_bool().unwrap()),
        encoded_request: string("encoded_request"),
        raw_request: string("raw_request"),
    }
}

fn expected(yaml: &Yaml) -> Expected {
    let rule = |key: &str, wanted| Some((rule_of(optional(&yaml[key])?.as_str().unwrap()), wanted));
    let statuses = match &yaml["status"] {
        Yaml::Array(statuses) => statuses.iter().map(|status| status.as_i64().unwrap()).collect(),
        other => optional(other).map(|status| status.as_i64().unwrap()).into_iter().collect(),
    };
    let (present, absent) = (rule("log_contains", true), rule("no_log_contains", false));
    assert!(present.is_none() || absent.is_none(), "two rules: {yaml:?}");
    let error = optional(&yaml["expect_error"]).is_some_and(|error| error.as_bool().unwrap());
    Expected { rule: present.or(absent), statuses, error }
}

/// The rule that a pattern for the log means: `id "942100"` mostly, and some have other quotes, or none.
fn rule_of(pattern: &str) -> u64 {
    let digits: String =
        pattern.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("a pattern without a rule: {pattern}"))
}

fn list(yaml: &Yaml) -> &[Yaml] {
    yaml.as_vec().unwrap_or_else(|| panic!("not a list: {yaml:?}"))
}

fn optional(yaml: &Yaml) -> Option<&Yaml> {
    (!yaml.is_badvalue()).then_some(yaml)
}

/// A text, or a number (of a header) as text.
fn scalar(yaml: &Yaml) -> String {
    match yaml {
        Yaml::String(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        other => panic!("neither a text nor a number: {other:?}"),
    }
}
