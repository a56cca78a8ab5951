//! Does the agent change anything? Random requests go to libmodsecurity directly (tests/data/direct.cc) and through the
//! agent over SPOP, both with the same rule files: the same rules must match, with the same verdict and score.
//!
//! `DIFFERENTIAL_SEED` gives other requests, `DIFFERENTIAL_REQUESTS` more of them (per test). A failure shows the smallest
//! request that makes the difference.
//!
//! libmodsecurity 3.0.9 itself is not always of one opinion: at a quoted name or file name of a multipart header that does
//! not end (`name="a\"`), its parser goes on behind the end of the line, in whatever the heap holds there. So both programs
//! run with `MALLOC_PERTURB_` and without tcache, which makes that the same in both.
//!
//! The agent differs on purpose in three cases:
//! - What cannot be a C string (a zero byte in the method or URI) is refused with `error` = `invalid`; libmodsecurity would
//!   inspect what stands before it.
//! - A body that HAProxy cut is marked (`TX:body_truncated`), and where the engine parses it, an ending is added:
//!   tests/engine/cut_bodies.rs has what comes of that, so such a body is not compared here.
//! - An escaped question mark in the path ends it for the library, and does not for the agent (CVE-2024-1019).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// Random requests, the engine without the agent, and the smallest request that makes a difference.
mod random;
// The screen against the engine that has the same rules, whole requests.
mod screen_requests;
// The screen's transformations against the engines' own functions.
mod screen_transformations;
// The operators of the screen.
mod screen_match;
// The parts of the screen against the engines' own, and random requests for that.
mod screen_samples;
mod screen_variables;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;

use random::direct::{Direct, Found, Outcome};
use random::generate::request;
use random::rng::Rng;
use random::shrink::smallest;
use random::{Request, fingerprints};
use std::path::PathBuf;
use support::agent::{Agent, rule_file};
use support::haproxy::repository;
use support::log::value;
use support::spop::{Ack, Link, hello};
use support::wire::Value;
use tempfile::TempDir;

/// Requests that are on their way to the agent at a time.
const WINDOW: usize = 8;

/// Requests between two comparisons: a difference is found before all are through.
const BATCH: usize = 100;

/// Frames for the longest request that is made.
const FRAME: &str = "1048576";

/// What malloc(3) fills new memory with: any byte but 0. And no memory that one thread keeps for its next call (tcache),
/// which malloc gives out as it is, with what another request has left in it.
pub const SAME_GARBAGE: [(&str, &str); 2] =
    [("MALLOC_PERTURB_", "165"), ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The files that the agent loads by default, in its order, with `more` between the set-up and the rules.
fn core_rule_set(settings: PathBuf, more: Option<PathBuf>) -> Vec<PathBuf> {
    let own = |name: &str| PathBuf::from("/etc/modsecurity/crs").join(name);
    let rules = std::fs::read_dir("/usr/share/modsecurity-crs/rules").expect("no modsecurity-crs");
    let mut rules: Vec<_> = rules.map(|entry| entry.unwrap().path()).collect();
    rules.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    rules.sort();
    let mut all = vec![settings, own("crs-setup.conf")];
    all.extend(more);
    all.push(own("REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf"));
    all.append(&mut rules);
    all.push(own("RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf"));
    all.retain(|path| path.exists());
    all
}

fn built_in_settings() -> PathBuf {
    repository("src/modsecurity/default.conf")
}

/// The built-in settings for detection only, and further rules. Not a file of its own that changes the settings of the one
/// before: libmodsecurity keeps the first.
fn detection_only(rules: &str) -> (TempDir, PathBuf) {
    let settings = std::fs::read_to_string(built_in_settings()).unwrap();
    let changed = settings.replace("SecRuleEngine On", "SecRuleEngine DetectionOnly");
    assert_ne!(settings, changed);
    rule_file(&format!("{changed}\n{rules}"))
}

/// Both that are compared.
struct Pair {
    agent: Agent,
    link: Link,
    direct: Direct,
}

impl Pair {
    fn start(rules: &[PathBuf]) -> Self {
        let mut options = vec!["--listen", "127.0.0.1:0", "-n", "2", "--max-frame-size", FRAME];
        options.extend(["--deadline", "60s", "--engine-limit", "60s"]);
        options.extend(rules.iter().flat_map(|path| ["-f", path.to_str().unwrap()]));
        let agent = Agent::start_exactly(&options, &SAME_GARBAGE);
        let mut link = agent.connect();
        let mut items = hello();
        items[1].1 = Value::Uint32(FRAME.parse().unwrap());
        link.greet(items);
        Self { link, agent, direct: Direct::start(rules) }
    }

    /// Asks both about the same requests. Gives what the agent says and what it should say.
    fn ask(&mut self, requests: &[Request]) -> Vec<(Outcome, Outcome)> {
        let ids: Vec<String> = (0..requests.len()).map(|number| format!("request-{number}")).collect();
        let Self { link, direct, .. } = self;
        std::thread::scope(|scope| {
            let said = scope.spawn(|| pipelined(link, requests, &ids));
            let asked = requests.iter().zip(&ids).filter(|(request, _)| !request.is_refused());
            let asked = asked.map(|(request, id)| (request, id.as_str(), request.is_cut()));
            let mut asked = direct.ask(asked).into_iter();
            let mut expected = |request: &Request| match request.is_refused() {
                true => Outcome::Refused("invalid".to_owned()),
                false => asked.next().unwrap(),
            };
            let expected: Vec<_> = requests.iter().map(&mut expected).collect();
            let both = said.join().unwrap().into_iter().zip(expected).zip(requests);
            let comparable = |((said, expected), request): ((Outcome, Outcome), &Request)| {
                let is_inspected = matches!(said, Outcome::Inspected(_));
                let has_its_end_added = request.is_cut() && request.may_get_an_ending();
                let differs = has_its_end_added || request.has_escaped_question_mark();
                (said.clone(), if differs && is_inspected { said } else { expected })
            };
            both.map(comparable).collect()
        })
    }

    fn differs(&mut self, request: &Request) -> bool {
        let (said, expected) = self.ask(std::slice::from_ref(request)).remove(0);
        said != expected
    }

    /// Compares as many requests as are wanted.
    fn compare(mut self, count: u64) {
        let (seed, count) =
            (setting("DIFFERENTIAL_SEED", 20_261_122), setting("DIFFERENTIAL_REQUESTS", count));
        println!("DIFFERENTIAL_SEED={seed} DIFFERENTIAL_REQUESTS={count}");
        let mut tally = Tally::default();
        // Each from a seed of its own, so that a change of one does not change all that follow.
        let mut seeds = Rng::new(seed);
        let all: Vec<_> = (0..count).map(|_| request(&mut Rng::new(seeds.number()))).collect();
        for batch in all.chunks(BATCH) {
            for (request, (said, expected)) in batch.iter().zip(self.ask(batch)) {
                tally.add(request, &expected);
                if said != expected {
                    self.fail(request, &said, &expected);
                }
            }
        }
        println!("{tally:?}");
        tally.assert_telling(count);
        drop(self.agent);
    }

    fn fail(&mut self, request: &Request, said: &Outcome, expected: &Outcome) -> ! {
        println!("the agent says {said:?}\nthe engine    {expected:?}\nof\n{request}");
        let small = smallest(request.clone(), |request| self.differs(request));
        let (small_said, small_expected) = self.ask(std::slice::from_ref(&small)).remove(0);
        panic!("smallest: the agent says {small_said:?}\nthe engine    {small_expected:?}\nof\n{small}");
    }
}

/// Sends all, a few at a time, and reads all answers.
fn pipelined(link: &mut Link, requests: &[Request], ids: &[String]) -> Vec<Outcome> {
    let mut outcomes = vec![None; requests.len()];
    let (mut sent, mut answered) = (0, 0);
    while answered < requests.len() {
        while sent < requests.len() && sent < answered + WINDOW {
            link.send(&requests[sent].message(&ids[sent]).notify(sent as u64 + 1, 1));
            sent += 1;
        }
        let ack = link.expect_ack();
        let number = usize::try_from(ack.stream).unwrap() - 1;
        let outcome = outcome(&ack, &requests[number]);
        assert_eq!(outcomes[number].replace(outcome), None, "two answers to one request");
        answered += 1;
    }
    outcomes.into_iter().map(Option::unwrap).collect()
}

/// What the agent says, in the engine's terms.
fn outcome(ack: &Ack, request: &Request) -> Outcome {
    match (ack.code(), ack.error()) {
        (None, Some("engine")) => Outcome::Exception,
        (None, Some(error)) => Outcome::Refused(error.to_owned()),
        (Some(status), None) => {
            assert_eq!(ack.get("truncated"), Some(&Value::Bool(request.is_cut())), "{request}");
            let rules: Vec<i64> = match ack.get("rule_ids") {
                Some(ids) => ids.str().split(',').map(|id| id.parse().unwrap()).collect(),
                None => Vec::new(),
            };
            assert_eq!(ack.get("rules_hit").map(Value::int), Some(rules.len() as i64));
            let (url, score) = (ack.get("data").map(|url| url.str().to_owned()), ack.get("anomaly_score"));
            Outcome::Inspected(Found { status, url, score: score.map(Value::int), rules })
        }
        other => panic!("neither a verdict nor an error: {other:?}"),
    }
}

/// What the requests of a run were like: a run that reaches nothing proves nothing.
#[derive(Debug, Default)]
struct Tally {
    denied: u64,
    refused: u64,
    exceptions: u64,
    cut: u64,
    rules: std::collections::BTreeSet<i64>,
}

impl Tally {
    fn add(&mut self, request: &Request, outcome: &Outcome) {
        self.cut += u64::from(request.is_cut());
        match outcome {
            Outcome::Exception => self.exceptions += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Inspected(found) => {
                self.denied += u64::from(found.status > 0);
                self.rules.extend(&found.rules);
            }
        }
    }

    fn assert_telling(&self, count: u64) {
        if count >= 500 {
            assert!(self.refused > 0 && self.cut > count / 50, "{self:?}");
            let clean = count - self.denied - self.refused - self.exceptions;
            assert!(clean > count / 20, "hardly one in twenty is clean: {self:?}");
            assert!(self.rules.len() > 40, "too few rules reached: {self:?}");
        }
    }
}

#[test]
fn the_core_rule_set_says_the_same_of_random_requests() {
    let pair = Pair::start(&core_rule_set(built_in_settings(), None));
    let loaded = |agent: &Agent| {
        value(&agent.log.wait_for_text(" rules loaded, "), "rules_in_engine").map(str::to_owned)
    };
    assert_eq!(
        loaded(&pair.agent),
        loaded(&Agent::start(&[])),
        "this is not what the agent loads by default"
    );
    pair.compare(1200);
}

#[test]
fn the_core_rule_set_at_paranoia_4_says_the_same_of_random_requests() {
    let (_settings, settings) = detection_only("");
    let (_more, more) =
        rule_file("SecAction \"id:900000,phase:1,nolog,pass,t:none,setvar:tx.paranoia_level=4\"\n");
    Pair::start(&core_rule_set(settings, Some(more))).compare(1200);
}

#[test]
fn every_variable_of_random_requests_is_the_same() {
    let (_rules, rules) = detection_only(&fingerprints::rules());
    Pair::start(&[rules]).compare(3000);
}
