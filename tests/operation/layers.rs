//! Does each room of the program use only the rooms below it? The table is that of src/lib.rs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room, from the top down, and the rooms that it may use.
const ROOMS: [(&str, &[&str]); 12] = [
    (
        "commands",
        &[
            "daemon",
            "admin",
            "settings",
            "logging",
            "agent",
            "isolation",
            "modsecurity",
            "screen",
            "rules",
            "message",
            "ffi",
        ],
    ),
    (
        "daemon",
        &[
            "admin",
            "settings",
            "logging",
            "agent",
            "isolation",
            "modsecurity",
            "screen",
            "rules",
            "message",
            "ffi",
        ],
    ),
    ("admin", &["settings", "logging", "agent", "message"]),
    ("settings", &["logging", "agent", "isolation", "modsecurity", "screen", "rules", "message"]),
    ("logging", &[]),
    ("agent", &["isolation", "modsecurity", "screen", "rules", "message", "ffi"]),
    ("isolation", &["modsecurity", "screen", "rules", "message", "ffi"]),
    ("modsecurity", &["screen", "rules", "message", "ffi"]),
    ("screen", &["rules", "message", "ffi"]),
    ("rules", &["ffi"]),
    ("message", &[]),
    ("ffi", &[]),
];

#[test]
fn no_room_uses_one_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    find(&src, &mut files);
    let mut seen = BTreeSet::new();
    for file in &files {
        let path = file.strip_prefix(&src).unwrap();
        let room = path.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if matches!(room, "lib" | "main") {
            continue;
        }
        let (room, allowed) = ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| {
            panic!("src/{}: the room {room} has no place in the table of this test", path.display())
        });
        seen.insert(*room);
        for used in rooms_used(&std::fs::read_to_string(file).unwrap()) {
            assert!(
                used == *room || allowed.contains(&used.as_str()),
                "src/{}: {room} uses {used}, which is not below it",
                path.display()
            );
        }
    }
    assert_eq!(seen.len(), ROOMS.len(), "a room of the table is gone: only {seen:?} are there");
}

#[test]
fn what_a_file_uses_is_found() {
    let text = "use crate::a::B;\n// use crate::no;\nuse crate::{b::{C, D}, e};\nfn f() { crate::g::h() }\n";
    assert_eq!(rooms_used(text).into_iter().collect::<Vec<_>>(), ["a", "b", "e", "g"]);
}

/// The first segment of each path from the root of the crate, comments left out.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut rooms = BTreeSet::new();
    for (at, root) in code.match_indices("crate::") {
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{') {
            None => rooms.extend(word(rest)),
            Some(list) => {
                let (mut depth, mut is_start) = (1, true);
                for (index, char) in list.char_indices() {
                    match char {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => is_start = true,
                        _ if is_start && !char.is_whitespace() => {
                            rooms.extend(word(&list[index..]));
                            is_start = false;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    rooms
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|char: char| !char.is_ascii_lowercase() && char != '_' && !char.is_ascii_digit());
    text.get(..end.unwrap_or(text.len())).filter(|word| !word.is_empty()).map(str::to_owned)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => find(&path, files),
            false if path.extension().is_some_and(|end| end == "rs") => files.push(path),
            false => {}
        }
    }
}
