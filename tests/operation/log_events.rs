//! Has every record an event with a name, and does the guide know it, its level and its keys?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The first words of a call that makes a record, and its level.
const CALLS: [(&str, &str); 5] =
    [("error!(", "error"), ("warn!(", "warn"), ("info!(", "info"), ("debug!(", "debug"), ("record!(", "")];

/// A call in the code: its level, its event, and the keys that stand in it.
struct Call {
    place: String,
    level: String,
    event: Option<String>,
    keys: BTreeSet<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            rust_files(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}

/// Where the call that begins before `text` ends: at its closing bracket.
fn end_of_call(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}

fn calls_of(path: &Path, calls: &mut Vec<Call>) {
    let text = fs::read_to_string(path).unwrap();
    // Tests stand behind the code.
    let text = text.split("#[cfg(test)]").next().unwrap();
    for (start, level) in CALLS {
        for (at, _) in text.match_indices(start) {
            let is_word = text[..at].ends_with(|char: char| char.is_alphanumeric() || char == '_');
            let is_comment = text[..at].lines().last().is_some_and(|line| line.contains("//"));
            if is_word || is_comment {
                continue;
            }
            let rest = &text[at + start.len()..];
            let call = &rest[..end_of_call(rest)];
            let quoted: Vec<&str> = call.split('"').skip(1).step_by(2).collect();
            if start == "record!(" && quoted.first() == Some(&"") {
                // It carries pairs elsewhere, and is not logged.
                continue;
            }
            let level = match level {
                "" if call.contains("Level::Warning") => "warn",
                "" if call.contains("Level::Error") => "error",
                other => other,
            };
            let tagged = start == "record!(" || call.split('"').next().unwrap().contains("# ");
            let event = quoted.first().filter(|name| tagged && is_name(name)).map(|name| (*name).to_owned());
            let keys = call.match_indices("\" =>").map(|(end, _)| {
                let start = call[..end].rfind('"').unwrap() + 1;
                call[start..end].to_owned()
            });
            let line = text[..at].matches('\n').count() + 1;
            let place = format!("{}:{line}", path.strip_prefix(root()).unwrap().display());
            calls.push(Call { place, level: level.to_owned(), event, keys: keys.collect() });
        }
    }
}

fn calls() -> Vec<Call> {
    let (mut files, mut calls) = (Vec::new(), Vec::new());
    rust_files(&root().join("src"), &mut files);
    rust_files(&root().join("actors"), &mut files);
    files.iter().for_each(|file| calls_of(file, &mut calls));
    calls
}

/// The rows of the guide: the word between backticks in the first column, and the other columns.
fn rows() -> BTreeMap<String, Vec<String>> {
    let page = fs::read_to_string(root().join("deploy/guide/log-events.md")).unwrap();
    let rows = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((name.to_owned(), rest.trim_end_matches(" |").split(" | ").map(str::to_owned).collect()))
    });
    rows.collect()
}

#[test]
fn every_record_has_an_event_that_the_guide_describes() {
    let rows = rows();
    let calls = calls();
    assert!(calls.len() > 80, "only {} calls found", calls.len());
    let mut events = BTreeSet::new();
    for Call { place, level, event, keys } in &calls {
        let event = event.as_ref().unwrap_or_else(|| {
            panic!("{place}: a record without the name of its event: info!(log, # \"name\", \"sentence\"; …)")
        });
        let row =
            rows.get(event).unwrap_or_else(|| panic!("{place}: log-events.md has no row for `{event}`"));
        assert_eq!(row[0], *level, "{place}: {event} has another level in log-events.md");
        for key in keys {
            assert!(rows.contains_key(key), "{place}: log-events.md does not say what the key `{key}` is");
            let is_listed = row[2].contains(&format!("`{key}`"));
            assert!(is_listed, "{place}: the row of `{event}` in log-events.md lacks the key `{key}`");
        }
        events.insert(event.clone());
    }
    let described = rows.iter().filter(|(_, row)| row.len() == 3).map(|(name, _)| name.clone());
    let gone: Vec<_> = described.filter(|name| !events.contains(name)).collect();
    assert!(gone.is_empty(), "log-events.md has events that nothing logs: {gone:?}");
}

#[test]
fn calls_are_found_with_their_keys() {
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    let file = folder.path().join("x.rs");
    fs::write(&file, "fn f() {\n    warn!(log, # \"an_event\", \"text (\"; \"a_key\" => g(1), \"b\" => 2);\n    info!(log, \"no\");\n}")
        .unwrap();
    let mut calls = Vec::new();
    calls_of(&file, &mut calls);
    let found: Vec<_> = calls.iter().map(|call| (call.level.as_str(), call.event.as_deref())).collect();
    assert_eq!(found, [("warn", Some("an_event")), ("info", None)]);
    assert_eq!(calls[0].keys.iter().collect::<Vec<_>>(), ["a_key", "b"]);
}
