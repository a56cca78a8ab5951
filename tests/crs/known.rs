//! The lists in tests/data of what is not as expected, with its causes: `[cause]`, and below it names of tests. What
//! follows a `#` is for people.

use std::collections::BTreeMap;

use crate::support::haproxy::repository;

/// Tests and their causes.
pub type Known = BTreeMap<String, String>;

/// Reads one list.
pub fn read(file: &str) -> Known {
    let text = std::fs::read_to_string(repository(file)).unwrap();
    let (mut known, mut cause) = (Known::new(), None);
    for line in text.lines().map(|line| line.split('#').next().unwrap().trim()) {
        if let Some(name) = line.strip_prefix('[') {
            cause = Some(name.strip_suffix(']').unwrap());
            continue;
        }
        for name in line.split_whitespace() {
            let cause = cause.expect("a test without a cause").to_owned();
            assert_eq!(known.insert(name.to_owned(), cause), None, "{name} is in {file} twice");
        }
    }
    known
}
