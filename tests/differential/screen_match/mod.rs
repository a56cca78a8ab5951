//! Does the scanner flag every operator that matches a value, and does an operator say what the engine's says?
//!
//! Values are made from the operators themselves: texts of regular expressions, phrases, and changes of them.
//! `SCREEN_SEED` repeats a run, `SCREEN_VALUES` makes it longer (values for each operator); each run has a seed of its own
//! otherwise, and prints it. `SCREEN_RULES` names another folder of rules than that of the installed Core Rule Set.

mod engines;
mod generate;
mod rule_sets;

use std::path::PathBuf;

use modsecurity_spoa::rules::version::EngineVersion;
use modsecurity_spoa::screen::automaton::{Candidates, Pattern, Scanner, expression};
use modsecurity_spoa::screen::operators::{Context, Match, Operator, OperatorCache};
use regex_syntax::hir::Hir;

use super::random::rng::Rng;
use super::setting;
use rule_sets::Written;

/// The rules of a folder, as operators for one engine.
struct Set {
    written: Vec<Written>,
    operators: Vec<Operator>,
    /// What the engine would take and the screen does not.
    missing: Vec<String>,
}

impl Set {
    fn read(version: EngineVersion) -> Self {
        let folder = std::env::var_os("SCREEN_RULES").unwrap_or("/usr/share/modsecurity-crs/rules".into());
        Self::of(version, rule_sets::operators(&PathBuf::from(folder)))
    }

    fn of(version: EngineVersion, all: Vec<Written>) -> Self {
        let mut set = Self { written: Vec::new(), operators: Vec::new(), missing: Vec::new() };
        for written in all {
            let context = Context {
                version,
                folder: &written.folder,
                match_limit: Some(500_000),
                depth_limit: Some(500_000),
            };
            let argument = written.argument(version == EngineVersion::V2);
            match Operator::compile(&written.name, &argument, written.is_negated, &context) {
                Ok(operator) => {
                    set.operators.push(operator);
                    set.written.push(written);
                }
                Err(error) => set.missing.push(format!("{}: {error}", written.text())),
            }
        }
        set
    }

    fn patterns(&self) -> Vec<Pattern> {
        self.operators.iter().map(Operator::pattern).collect()
    }
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = setting("SCREEN_SEED", now.as_nanos() as u64);
    println!("SCREEN_SEED={seed}");
    seed
}

/// What values for an operator are made from.
enum Source {
    Language(Hir),
    Texts(Vec<Vec<u8>>),
}

impl Source {
    fn of(written: &Written, version: EngineVersion) -> Self {
        let argument = written.argument(version == EngineVersion::V2);
        match written.name.to_ascii_lowercase().as_str() {
            "rx" => {
                let language = expression::read(&argument, expression::Options::of_rx(version));
                Self::Language(language.unwrap_or_else(|error| panic!("{}: {error}", written.text())))
            }
            "pmfromfile" => {
                let text = std::fs::read(written.folder.join(&written.argument)).unwrap();
                let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                Self::Texts(lines.map(<[u8]>::to_vec).collect())
            }
            _ => {
                let words = argument.split(|byte| *byte == b' ').map(<[u8]>::to_vec);
                Self::Texts(words.chain([argument.clone()]).collect())
            }
        }
    }

    /// A value for the operator: it is likely to match, or nearly.
    fn value(&self, rng: &mut Rng) -> Vec<u8> {
        let text = match self {
            Self::Language(language) => generate::text_of(language, rng),
            Self::Texts(texts) => texts[rng.below(texts.len())].clone(),
        };
        let value = generate::dressed(&text, rng);
        if rng.one_in(2) { generate::mutated(&value, rng) } else { value }
    }
}

#[test]
fn the_operators_of_the_core_rule_set_are_modelled() {
    for &version in EngineVersion::BUILT {
        let set = Set::read(version);
        assert!(set.operators.len() > 200, "{}", set.operators.len());
        let unknown =
            set.missing.iter().filter(|text| !text.starts_with("@geoLookup") && !text.starts_with("@rbl"));
        assert_eq!(unknown.count(), 0, "{version}: {:#?}", set.missing);
        // Each expression is read, or this panics.
        set.written.iter().for_each(|written| drop(Source::of(written, version)));
        let scanner = Scanner::new(&set.patterns()).unwrap();
        let (by_literals, by_bytes, always) = scanner.kinds();
        println!("{version}: {by_literals} by literals, {by_bytes} by bytes, {always} always");
        assert!(always * 4 < set.operators.len(), "{always} of {} for every value", set.operators.len());
        // What all engines share, and what each adds.
        assert!(scanner.memory() < 16 << 20, "{} bytes", scanner.memory());
    }
}

#[test]
fn what_matches_is_a_candidate() {
    for &version in EngineVersion::BUILT {
        let mut rng = Rng::new(seed());
        let set = Set::read(version);
        let patterns = set.patterns();
        let scanner = Scanner::new(&patterns).unwrap();
        let (mut cache, mut own) = (OperatorCache::default(), scanner.cache());
        let (mut candidates, mut again) = (Candidates::new(patterns.len()), Candidates::new(patterns.len()));
        let (mut matches, mut found) = (0, 0);
        for (made_for, written) in set.written.iter().enumerate() {
            let source = Source::of(written, version);
            for _ in 0..setting("SCREEN_VALUES", 60) {
                let value = source.value(&mut rng);
                scanner.scan(&mut own, &value, &mut candidates);
                scanner.scan(&mut own, &value.to_ascii_lowercase(), &mut again);
                assert!(candidates == again, "{:?}: letters have a case", String::from_utf8_lossy(&value));
                found += candidates.iter().count();
                for (number, operator) in set.operators.iter().enumerate() {
                    // All operators now and then, the one that the value is made for always.
                    if number != made_for && !rng.one_in(16) {
                        continue;
                    }
                    let is_match = operator.matches(&mut cache, &value) == Match::Yes;
                    matches += usize::from(is_match);
                    assert!(
                        !is_match || candidates.contains(number),
                        "{version}: {} matches {:?} and is no candidate",
                        set.written[number].text(),
                        value.escape_ascii().to_string()
                    );
                }
            }
        }
        println!("{version}: {matches} matches, {found} candidates");
        assert!(matches > 1000, "only {matches} matches");
    }
}

/// Operators that the Core Rule Set does not have, or not with such arguments. Each has its sign, name and argument.
const MORE: [&str; 47] = [
    r"@within get post head",
    r"!@within GET,POST",
    r"@contains ab",
    r"!@contains é",
    r"@streq 0",
    r"!@streq a b",
    r"@beginsWith /a/",
    r"!@beginsWith a",
    r"@endsWith .php",
    r"!@endsWith a",
    r"@containsWord ab",
    r"!@containsWord a",
    r"@eq 0",
    r"!@eq 7",
    r"@gt 5",
    r"@ge -3",
    r"@lt 10",
    r"!@lt 0",
    r"@le 4294967296",
    r"@eq 4294967296",
    r"@validateByteRange 1-255",
    r"!@validateByteRange 32-126",
    r"@validateByteRange 9, 10,13,32-126,128 - 255",
    r"@validateUrlEncoding",
    r"!@validateUrlEncoding",
    r"@validateUtf8Encoding",
    r"!@validateUtf8Encoding",
    r"@detectSQLi",
    r"!@detectSQLi",
    r"@detectXSS",
    r"!@detectXSS",
    r"@unconditionalMatch",
    r"@pm abab ab abcabd bc",
    r"!@pm aab ab baab é",
    r"@pm aB|41 42|c:d",
    r"@rx ^a$",
    r"!@rx ^a$",
    r"!@rx ^(?:a|b)*$",
    r"@rx a.c",
    r"@rx (?-s)^a.c$",
    r"!@rx \bab\b",
    r"@rx \x5c\v\h[\W\D][^\S]",
    r"@rx (?i)[^a-c]k",
    r"@rx [[:upper:]][[:^alpha:]]",
    r"@rx (a|\bb)x\1",
    r"@rx (?m)^b$|(?-m)^c$",
    r"@rx \Ra\Z",
];

fn more() -> Vec<Written> {
    let read = |text: &&str| {
        let (is_negated, text) = text.strip_prefix('!').map_or((false, *text), |text| (true, text));
        let (name, argument) = text.strip_prefix('@').unwrap().split_once(' ').unwrap_or((&text[1..], ""));
        Written {
            name: name.to_owned(),
            is_negated,
            argument: argument.to_owned(),
            folder: PathBuf::from("/"),
        }
    };
    MORE.iter().map(read).collect()
}

/// A value for one of [`MORE`]: short, of the bytes that they are about.
fn small_value(rng: &mut Rng) -> Vec<u8> {
    const PARTS: [&[u8]; 44] = [
        b"a",
        b"b",
        b"c",
        b"ab",
        b"aab",
        b"bc",
        b"abab",
        b"abcabd",
        b"k",
        b"x",
        b"ax",
        b"bxb",
        b"axa",
        b"A",
        b"B",
        b"AB",
        b"\n",
        b"\r\n",
        b"\x0b",
        b"\x0c",
        b"\x85",
        b" ",
        b"\t",
        b"\xa0",
        b"\\",
        b"_",
        b"-",
        b"+",
        b"0",
        b"7",
        b"10",
        b"4294967296",
        b"9999999999999999999",
        b"%",
        b"%4",
        b"%41",
        b"\xc3\xa9",
        b"\xf4\x90\x80\x80",
        b"\xe9",
        b"\xff",
        b"\0",
        b".php",
        b"/a/",
        b"GET",
    ];
    let mut value = Vec::new();
    for _ in 0..rng.below(6) {
        value.extend(rng.pick(&PARTS));
    }
    value
}

#[test]
fn an_operator_says_what_that_of_the_engine_says() {
    for &version in EngineVersion::BUILT {
        let mut rng = Rng::new(seed());
        let mut set = Set::read(version);
        let more = Set::of(version, more());
        assert!(more.missing.is_empty(), "{:?}", more.missing);
        let sources: Vec<Source> = set.written.iter().map(|written| Source::of(written, version)).collect();
        set.written.extend(more.written);
        set.operators.extend(more.operators);
        for written in &mut set.written {
            if written.name.eq_ignore_ascii_case("pmFromFile") {
                written.argument = written.folder.join(&written.argument).to_str().unwrap().to_owned();
            }
        }
        let patterns = set.patterns();
        let scanner = Scanner::new(&patterns).unwrap();
        let (mut own, mut candidates) = (scanner.cache(), Candidates::new(patterns.len()));
        let engine = engines::Engine::load(version, &set.written);
        let mut cache = OperatorCache::default();
        let (mut matches, mut unsure) = (0, 0);
        for round in 0..setting("SCREEN_VALUES", 60) * 20 {
            let value = match round % 4 {
                0 => small_value(&mut rng),
                _ => {
                    let number = rng.below(sources.len());
                    sources[number].value(&mut rng)
                }
            };
            let expected = engine.matching(&value);
            scanner.scan(&mut own, &value, &mut candidates);
            for (number, operator) in set.operators.iter().enumerate() {
                let is_match = expected.contains(&number);
                let found = operator.matches(&mut cache, &value);
                matches += usize::from(is_match);
                unsure += usize::from(found == Match::MaybeYes);
                assert!(
                    found == Match::MaybeYes || (found == Match::Yes) == is_match,
                    "{version}: {} of {:?}: {found:?}, the engine says {is_match}",
                    set.written[number].text(),
                    value.escape_ascii().to_string()
                );
                assert!(
                    !is_match || candidates.contains(number),
                    "{version}: {} matches {:?} and is no candidate",
                    set.written[number].text(),
                    value.escape_ascii().to_string()
                );
            }
        }
        println!("{version}: {matches} matches, {unsure} unsure");
        assert!(matches > 1000, "only {matches} matches");
    }
}
