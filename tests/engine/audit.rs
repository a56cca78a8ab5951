//! Reading audit logs, in the three forms that each engine writes. Whatever is not a whole record is a panic.

use crate::support::process::engine;
use std::path::{Path, PathBuf};

/// One record, as far as the tests look at it.
#[derive(Debug)]
pub struct Record {
    /// Rules see it as UNIQUE_ID.
    pub id: String,
    /// The request's body.
    pub body: String,
    /// What separates its sections in a native log.
    pub boundary: String,
    /// All of it.
    pub text: String,
}

/// The line before a section of a native log.
fn head(boundary: &str, part: char) -> String {
    match engine() {
        2 => format!("--{boundary}-{part}--\n"),
        _ => format!("---{boundary}---{part}--\n"),
    }
}

/// The dashes that such a line begins with.
fn dashes() -> &'static str {
    if engine() == 2 { "--" } else { "---" }
}

/// The records of a native log: sections, each behind a line with the record's boundary, from A to Z.
pub fn native(text: &str, parts: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let boundary = rest.strip_prefix(dashes()).and_then(|rest| rest.get(..8));
        let boundary = boundary.unwrap_or_else(|| panic!("no record begins at {:?}", shown(rest)));
        let end = head(boundary, 'Z') + "\n";
        let length = rest.find(&end).unwrap_or_else(|| panic!("no end of {:?}", shown(rest))) + end.len();
        let (record, behind) = rest.split_at(length);
        records.push(native_record(record, boundary, parts));
        rest = behind;
    }
    records
}

fn native_record(text: &str, boundary: &str, parts: &str) -> Record {
    let mut sections = Vec::new();
    let mut rest = text;
    for part in parts.chars() {
        let line = head(boundary, part);
        rest = rest.strip_prefix(&line).unwrap_or_else(|| panic!("no section {part} in {:?}", shown(text)));
        // Up to the next section; what is in one never looks like the beginning of another in these tests.
        let length = rest.find(&format!("\n{}", dashes())).map_or(rest.len(), |at| at + 1);
        let (section, behind) = rest.split_at(length);
        sections.push((part, section));
        rest = behind;
    }
    assert_eq!(rest, "", "more than the sections {parts}");
    let section = |wanted| sections.iter().find(|(part, _)| *part == wanted).unwrap().1;
    let boundary = boundary.to_owned();
    let id = section('A').split(' ').nth(2).unwrap().to_owned();
    Record { id, body: section('C').trim_end().to_owned(), boundary, text: text.to_owned() }
}

/// The records of a JSON log: one object a line.
pub fn json(text: &str) -> Vec<Record> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
    text.lines().map(json_record).collect()
}

fn json_record(line: &str) -> Record {
    assert!(line.starts_with(r#"{"transaction":{"#), "no object begins at {:?}", shown(line));
    let (mut depth, mut quoted, mut escaped, mut ended) = (0, false, false, false);
    for character in line.chars() {
        assert!(!ended, "more behind the object: {:?}", shown(line));
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        ended = depth == 0;
    }
    assert!(ended, "the object does not end: {:?}", shown(line));
    let value = |key: &str, open: &str, close: &str| {
        let (_, behind) =
            line.split_once(&format!("\"{key}\":{open}")).unwrap_or_else(|| panic!("no {key}: {line}"));
        behind.split_once(close).unwrap().0.to_owned()
    };
    let (id, body) = match engine() {
        // The body as an array of pieces.
        2 => (value("transaction_id", "\"", "\""), value("body", "[\"", "\"]").replace("\",\"", "")),
        _ => (value("unique_id", "\"", "\""), value("body", "\"", "\"")),
    };
    Record { id, body, boundary: String::new(), text: line.to_owned() }
}

/// The records of a concurrent log: a file for each, which its line in the index names.
pub fn concurrent(index: &str, storage: &Path, parts: &str) -> Vec<Record> {
    let files = files(storage);
    assert!(index.is_empty() || index.ends_with('\n'), "the last line of the index is not whole");
    let read = |line: &str| {
        // ModSecurity 2.9 has a space at the end, and says where the file is below the folder.
        let words: Vec<_> = line.trim_end().rsplit(' ').collect();
        // … - <id> - <file> 0 <size> md5:<sum>
        let [_, size, _, file, _, id, ..] = words[..] else { panic!("no line of an index: {line:?}") };
        let place = if engine() == 2 { format!("{}{file}", storage.display()) } else { file.to_owned() };
        let mut text = std::fs::read_to_string(&place).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(size.parse::<f64>().unwrap(), text.len() as f64, "the size of {file}");
        if engine() == 2 {
            // Between records alone.
            text.push('\n');
        }
        let mut records = native(&text, parts);
        assert_eq!(records.len(), 1, "{file} has more than one record");
        let record = records.remove(0);
        assert_eq!(record.id, id, "{file} is another's");
        record
    };
    let records: Vec<_> = index.lines().map(read).collect();
    assert_eq!(records.len(), files.len(), "files and lines of the index");
    records
}

/// All files in a folder and in those below.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn shown(text: &str) -> String {
    text.chars().take(300).collect()
}
