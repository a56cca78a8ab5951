//! GUARANTEES.md names the test of each guarantee: those tests exist.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub)]

use std::path::Path;
use std::{fs, io};

/// The text of every Rust file in the crate.
fn sources(folder: &Path) -> io::Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text += &sources(&path)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            text += &fs::read_to_string(path)?;
        }
    }
    Ok(text)
}

#[test]
fn each_guarantee_names_tests_and_they_exist() {
    let sources = sources(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (guarantees, _) = include_str!("../GUARANTEES.md").split_once("## Lexicon").unwrap();
    let promises: Vec<_> = guarantees.split("\n- ").skip(1).collect();
    assert!(promises.len() > 10);
    for promise in promises {
        let (_, tests) = promise.split_once("Shown by").unwrap_or_else(|| panic!("no test: {promise}"));
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(sources.contains(&format!("fn {test}(")), "no test {test}");
        }
    }
}
