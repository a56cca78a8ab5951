//! The operators of rule files, read without the project's code.

use std::path::{Path, PathBuf};

/// An operator as it stands in a file, once however many rules have it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    pub name: String,
    pub is_negated: bool,
    /// Between its quotes, nothing unescaped.
    pub argument: String,
    pub folder: PathBuf,
}

impl Written {
    /// The argument as ModSecurity 2.9 or libmodsecurity 3 gets it.
    pub fn argument(&self, is_2: bool) -> Vec<u8> {
        if !is_2 {
            return self.argument.clone().into_bytes();
        }
        let mut chars = self.argument.chars().peekable();
        let mut text = String::new();
        while let Some(char) = chars.next() {
            let escaped = chars.next_if(|next| char == '\\' && matches!(next, '\\' | '"'));
            text.push(escaped.unwrap_or(char));
        }
        text.into_bytes()
    }

    /// As a rule has it.
    pub fn text(&self) -> String {
        let sign = if self.is_negated { "!" } else { "" };
        match self.argument.as_str() {
            "" => format!("{sign}@{}", self.name),
            argument => format!("{sign}@{} {argument}", self.name),
        }
    }
}

/// The operators of all rules of a folder, without those whose argument is known with a request only.
pub fn operators(folder: &Path) -> Vec<Written> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    let mut all: Vec<_> = files.iter().flat_map(|file| in_file(file)).collect();
    all.retain(|operator| !operator.argument.contains("%{"));
    all.sort();
    all.dedup();
    all
}

fn in_file(path: &Path) -> Vec<Written> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let mut rule = String::new();
    for line in text.lines() {
        if rule.is_empty() && line.trim_start().starts_with('#') {
            continue;
        }
        if let Some(part) = line.strip_suffix('\\') {
            rule.push_str(part);
            continue;
        }
        rule.push_str(line);
        found.extend(in_rule(&rule, path.parent().unwrap()));
        rule.clear();
    }
    found
}

fn in_rule(rule: &str, folder: &Path) -> Option<Written> {
    let rest = rule.trim_start().strip_prefix("SecRule ")?.trim_start();
    // The targets may be quoted themselves; their selectors have blanks between slashes at most.
    let rest = match rest.strip_prefix('"') {
        Some(quoted) => &quoted[quoted.find('"')? + 1..],
        None => &rest[rest.find(" \"")?..],
    };
    let rest = &rest[rest.find('"')? + 1..];
    let mut end = 0;
    let bytes = rest.as_bytes();
    while bytes.get(end)? != &b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    let text = &rest[..end];
    let (is_negated, text) = text.strip_prefix('!').map_or((false, text), |text| (true, text));
    let (name, argument) = match text.strip_prefix('@') {
        Some(named) => named.split_once(' ').unwrap_or((named, "")),
        None => ("rx", text),
    };
    Some(Written {
        name: name.to_owned(),
        is_negated,
        argument: argument.to_owned(),
        folder: folder.to_owned(),
    })
}
