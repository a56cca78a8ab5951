//! The files that rules are made of: those that the operator names, those that they include, and those that directives and
//! operators read while the rules are loaded.

use std::path::{Path, PathBuf};

use super::directives::{Directive, Directives, ReadError};
use super::sources::{CRS_RULES, RuleSource, RuleSources, core_rule_set};

/// Operators whose parameter is a list of files or one file.
const OPERATORS: [&str; 7] =
    ["pmfromfile", "pmf", "ipmatchfromfile", "ipmatchf", "validateschema", "validatedtd", "inspectfile"];

/// Directives whose first word is a file.
const DIRECTIVES: [&str; 3] = ["secunicodemapfile", "secgeolookupdb", "secrulescript"];

/// Lists the files of all sets of rules, as far as they can be read now; one that cannot be read is among them.
#[must_use]
pub fn of(sources: &RuleSources) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for (_, source) in sources.each() {
        let named = match source {
            RuleSource::Files(files) => files,
            RuleSource::Default => core_rule_set().unwrap_or_else(|_| vec![PathBuf::from(CRS_RULES)]),
        };
        let mut directives = Directives::new(sources.engine);
        for path in &named {
            if let Err(error) = directives.add_file(path) {
                all.extend(missing(error));
            }
        }
        all.extend(directives.files().iter().map(|file| file.to_path_buf()));
        all.extend(directives.all().iter().flat_map(|directive| read_by(directive, &directives)));
    }
    all.sort();
    all.dedup();
    all
}

/// The file or folder whose change may help.
fn missing(error: ReadError) -> Option<PathBuf> {
    match error {
        ReadError::File { path, .. } => Some(path),
        ReadError::NoFile { place, pattern } => Some(place.file.with_file_name("").join(pattern)),
        ReadError::ZeroByte(_) | ReadError::TooDeep(_) => None,
    }
}

/// The files that the engine reads for a directive.
fn read_by(directive: &Directive, directives: &Directives) -> Vec<PathBuf> {
    let words = directive.words(directives.version());
    let word = |index: usize| words.get(index).map(|word| word.as_read_by(directives.version()));
    let name = directive.name.to_ascii_lowercase();
    let text = if DIRECTIVES.contains(&name.as_str()) { word(0) } else { None };
    let text =
        text.or_else(|| word(1).filter(|_| name == "secrule").and_then(|operator| parameter(&operator)));
    let beside = directive.place.file.parent().unwrap_or(Path::new(""));
    let names = text.as_deref().unwrap_or_default().split_ascii_whitespace();
    names.filter(|name| !name.contains("://")).map(|name| beside.join(name)).collect()
}

/// The parameter of an operator that reads files.
fn parameter(operator: &str) -> Option<String> {
    let operator = operator.trim_start().trim_start_matches('!').trim_start().strip_prefix('@')?;
    let (name, parameter) = operator.split_once(char::is_whitespace)?;
    OPERATORS.contains(&name.to_ascii_lowercase().as_str()).then(|| parameter.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::version::EngineVersion;

    #[test]
    fn included_files_and_lists_are_among_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("main.conf"), "Include more.conf\n").unwrap();
        let more = "SecRule ARGS \"!@pmFromFile a.data b.data\" \"id:1,deny\"\nInclude none.conf\n";
        std::fs::write(at("more.conf"), more).unwrap();
        let sources = RuleSources {
            engine: EngineVersion::BUILT[0],
            default: RuleSource::Files(vec![at("main.conf")]),
            applications: vec![("shop".to_owned(), vec![at("shop.conf")])],
        };
        let expected = ["a.data", "b.data", "main.conf", "more.conf", "none.conf", "shop.conf"].map(at);
        assert_eq!(of(&sources), expected);
    }
}
