//! Does the scanner flag every operator that matches a value, and does an operator say what the engine's says?
//!
//! Values are made from the operators themselves: texts of regular expressions, phrases, and changes of them.
//! `SCREEN_SEED` repeats a run, `SCREEN_VALUES` makes it longer (values for each operator); each run has a seed of its own
//! otherwise, and prints it. `SCREEN_RULES` names another folder of rules than that of the installed Core Rule Set.

mod generate;
mod rule_sets;

use std::path::PathBuf;

use modsecurity_spoa::rules::version::EngineVersion;
use modsecurity_spoa::screen::automaton::{Candidates, Pattern, Scanner};
use modsecurity_spoa::screen::operators::{Context, Match, Operator, OperatorCache};

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
        let mut set = Self { written: Vec::new(), operators: Vec::new(), missing: Vec::new() };
        for written in rule_sets::operators(&PathBuf::from(folder)) {
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

/// A value for this operator: likely to match, or nearly.
fn value(operator: &Pattern, written: &Written, rng: &mut Rng) -> Vec<u8> {
    let text = match operator {
        Pattern::Language(language) => generate::text_of(language, rng),
        Pattern::Words(words) => words.literals[rng.below(words.literals.len())].clone(),
        Pattern::Always | Pattern::Never => written.argument.clone().into_bytes(),
    };
    let value = generate::dressed(&text, rng);
    if rng.one_in(2) { generate::mutated(&value, rng) } else { value }
}

#[test]
fn the_operators_of_the_core_rule_set_are_modelled() {
    for &version in EngineVersion::BUILT {
        let set = Set::read(version);
        assert!(set.operators.len() > 200, "{}", set.operators.len());
        let unknown =
            set.missing.iter().filter(|text| !text.starts_with("@geoLookup") && !text.starts_with("@rbl"));
        assert_eq!(unknown.count(), 0, "{version}: {:#?}", set.missing);
        let of_kind = |is_it: fn(&Pattern) -> bool| set.patterns().iter().filter(|p| is_it(p)).count();
        let unread: Vec<_> = set
            .written
            .iter()
            .zip(set.patterns())
            .filter(|(written, pattern)| {
                written.name == "rx" && !written.is_negated && matches!(pattern, Pattern::Always)
            })
            .map(|(written, _)| written.text())
            .collect();
        assert!(unread.is_empty(), "{unread:#?}");
        let scanner = Scanner::new(&set.patterns()).unwrap();
        println!(
            "{version}: {} operators, {} always, by literals, states, always: {:?}, {} bytes shared, {} own",
            set.operators.len(),
            of_kind(|pattern| matches!(pattern, Pattern::Always)),
            scanner.kinds(),
            scanner.memory(),
            scanner.cache().memory()
        );
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
        for (made_for, pattern) in patterns.iter().enumerate() {
            for _ in 0..setting("SCREEN_VALUES", 60) {
                let value = value(pattern, &set.written[made_for], &mut rng);
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
