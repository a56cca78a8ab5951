//! Is a request that the screen proves clean clean to the engine? Random requests go before the screen and, in detection only,
//! before the engine with the same rules, in this process.
//!
//! `SCREEN_SEED` gives other requests (without it they are new in each run, and the seed is printed), `SCREEN_REQUESTS` more of
//! them for each set of rules. `SCREEN_RULES` names the folder of another Core Rule Set, with crs-setup.conf beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use modsecurity_spoa::message::HttpMessage;
use modsecurity_spoa::message::decode::decode;
use modsecurity_spoa::message::verdict::Verdict;
use modsecurity_spoa::modsecurity::parked::RetentionLimits;
use modsecurity_spoa::modsecurity::{ModSecurity, Rules};
use modsecurity_spoa::rules::screening::{ScreenMode, Screening};
use modsecurity_spoa::rules::sources::{RuleSource, RuleSources};
use modsecurity_spoa::rules::version::EngineVersion;
use modsecurity_spoa::screen::{Finding, Scratch};

use crate::random::generate::request;
use crate::random::mutate::mutated;
use crate::random::rng::Rng;
use crate::random::shrink::smallest;
use crate::random::{Form, Request};
use crate::support::agent::rule_file;
use crate::{built_in_settings, core_rule_set, setting};

/// One engine with its screen, and the tally of what became of the requests.
struct Subject {
    rules: Rules,
    scratch: Scratch,
    engine: ModSecurity,
    proven: u64,
    open: BTreeMap<String, u64>,
}

/// What the two say of a request.
enum Said {
    Open(String),
    Agreed,
    Wrong(Box<Verdict>),
}

/// The Core Rule Set at this level, in this engine, in detection only.
fn rules(version: EngineVersion, level: u8) -> (Vec<tempfile::TempDir>, Vec<PathBuf>) {
    let mut text = std::fs::read_to_string(built_in_settings()).unwrap();
    if version == EngineVersion::V2 {
        text += include_str!("../../src/modsecurity/v2/default.conf");
    }
    let text = text.replace("SecRuleEngine On", "SecRuleEngine DetectionOnly");
    let (first, settings) = rule_file(&text);
    let levels = ["paranoia_level", "blocking_paranoia_level", "detection_paranoia_level"];
    let set = levels.map(|name| format!("setvar:tx.{name}={level}")).join(",");
    let (second, more) = rule_file(&format!("SecAction \"id:900000,phase:1,nolog,pass,t:none,{set}\"\n"));
    let files = match std::env::var_os("SCREEN_RULES").map(PathBuf::from) {
        None => core_rule_set(settings, Some(more)),
        Some(folder) => {
            let mut rules: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
            rules.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
            rules.sort();
            [vec![settings, folder.with_file_name("crs-setup.conf"), more], rules].concat()
        }
    };
    (vec![first, second], files)
}

impl Subject {
    fn new(version: EngineVersion, files: Vec<PathBuf>) -> Self {
        let sources = RuleSources {
            engine: version,
            default: RuleSource::Files(files),
            applications: Vec::new(),
            screening: Screening { mode: ScreenMode::Shadow, sample: 1 },
        };
        let (rules, _) = Rules::load(&sources).unwrap();
        let scratch = match rules.screen(None) {
            Some(Ok(screen)) => {
                println!("{version:?} {:?} {} bytes", screen.counts(), screen.memory());
                screen.scratch()
            }
            Some(Err(off)) => panic!("{version:?}: the screen is off: {off}"),
            None => panic!("no screen"),
        };
        let engine = ModSecurity::new(&rules, RetentionLimits::NONE).unwrap();
        Self { rules, scratch, engine, proven: 0, open: BTreeMap::new() }
    }

    fn ask(&mut self, request: &Request) -> Said {
        let Ok(message) = message(request) else { return Said::Open("refused".to_owned()) };
        let HttpMessage::Request(decoded) = &message else { unreachable!() };
        let screen = self.rules.screen(None).unwrap().as_ref().unwrap();
        let score = match screen.examine(&mut self.scratch, decoded) {
            Finding::NotProven(reason) => return Said::Open(reason.to_string()),
            Finding::Proven { score } => score,
        };
        let verdict = self.engine.inspect(&message).unwrap();
        let is_clean =
            verdict.rules.is_empty() && verdict.matches.is_empty() && verdict.anomaly_score == score;
        if is_clean && verdict.intervention.is_none() { Said::Agreed } else { Said::Wrong(Box::new(verdict)) }
    }
}

/// What HAProxy sends of it, decoded.
fn message(request: &Request) -> Result<HttpMessage, String> {
    let request = Request { form: Form::Named, ..request.clone() };
    let notify = request.message("id").encode();
    decode(&Bytes::from(notify), "0123456789abcdef".to_owned()).map_err(|failure| failure.cause.into_owned())
}

fn compare(version: EngineVersion, level: u8) {
    let count = setting("SCREEN_REQUESTS", 500);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = setting("SCREEN_SEED", now);
    println!("SCREEN_SEED={seed} SCREEN_REQUESTS={count} {version:?} level {level}");
    let (_folders, files) = rules(version, level);
    let mut subject = Subject::new(version, files);
    let mut seeds = Rng::new(seed);
    for number in 0..count {
        let mut rng = Rng::new(seeds.number());
        // Most of what is made from words and attacks is not clean.
        let request = if number % 4 == 0 { request(&mut rng) } else { mutated(&mut rng) };
        match subject.ask(&request) {
            Said::Agreed => subject.proven += 1,
            Said::Open(reason) => *subject.open.entry(reason).or_default() += 1,
            Said::Wrong(_) => {
                let is_wrong =
                    |subject: &mut Subject, request: &Request| matches!(subject.ask(request), Said::Wrong(_));
                let small = smallest(request, |request| is_wrong(&mut subject, request));
                let Said::Wrong(verdict) = subject.ask(&small) else { unreachable!() };
                panic!("proven clean, and the engine says {verdict:?}\nof\n{small}");
            }
        }
    }
    let mut open: Vec<_> = subject.open.iter().collect();
    open.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    open.truncate(25);
    println!("{version:?} level {level}: proven {} of {count}; {open:?}", subject.proven);
    assert!(subject.proven > count / 50, "hardly any is proven");
}

#[test]
fn what_is_proven_is_clean_to_modsecurity_2() {
    for level in 1..=4 {
        compare(EngineVersion::V2, level);
    }
}

#[test]
fn what_is_proven_is_clean_to_libmodsecurity_3() {
    for level in 1..=4 {
        compare(EngineVersion::V3, level);
    }
}
