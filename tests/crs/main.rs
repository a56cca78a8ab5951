//! Do the Core Rule Set's own tests pass through the agent? Those that do not are in tests/data/crs-known.txt (version 2:
//! crs-known-2.txt) with their causes, and the causes are shown: the engine alone says the same, and passes when the cause
//! is taken away.
//!
//! A test names a rule that must match, or must not; the agent's `rule_ids` is compared with it. Some tests only expect a
//! status of the web server, or no response at all: they are about HTTP itself, which over SPOP is HAProxy's part. Their
//! requests are given to the agent all the same, and must be inspected. No test of 3.3.4 is about a response.
//!
//! A second run sends the same bytes to HAProxy. What is different then is in tests/data/crs-haproxy.txt.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// All requests sent to HAProxy.
mod behind;
// The tests as they are in the source package's YAML files.
mod cases;
// All requests given to the engine without the agent.
mod direct;
// From a test's input to the bytes on the wire.
mod ftw;
// From bytes on the wire to what a server takes them for.
mod http;
// The lists of what is not as expected, with its causes.
mod known;
// The rules that the tests are run with.
mod rules;
// All requests given to the agent, straight over SPOP.
mod straight;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::sync::OnceLock;

use behind::Outcome;
use cases::Case;
use known::Known;
use straight::{Rules, changes};
use support::process::engine;

/// The lists of what fails, for libmodsecurity 3 and for ModSecurity 2.9.
const LIST: &str = "tests/data/crs-known.txt";
const LIST_2: &str = "tests/data/crs-known-2.txt";
/// What the agent changes on purpose about version 2; about version 3 it changes nothing.
const DIRECT_LIST_2: &str = "tests/data/crs-direct-2.txt";
const HAPROXY_LIST: &str = "tests/data/crs-haproxy.txt";

/// The list's cause for what is wrong with a test itself. All others are the engine's.
const TEST: &str = "test";

/// What fails with the engine under test.
fn known() -> Known {
    known::read(if engine() == 2 { LIST_2 } else { LIST })
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(cases::load)
}

/// What the agent says with the rules as they are installed.
fn straight() -> &'static [Rules] {
    static FOUND: OnceLock<Vec<Rules>> = OnceLock::new();
    FOUND.get_or_init(|| straight::run(cases(), &straight::agent(&rules::installed())))
}

/// The tests of which the named rule did not do what they expect.
fn failed(found: &[Rules]) -> Vec<&'static str> {
    let failed = cases().iter().zip(found).filter(|(case, found)| {
        case.expected.rule.is_some_and(|(rule, wanted)| found.contains(&rule) != wanted)
    });
    failed.map(|(case, _)| case.name.as_str()).collect()
}

/// Checks that what happened is what the list says, no more and no less.
#[track_caller]
fn assert_listed(what: &str, happened: &[&str], list: &Known) {
    let unlisted: Vec<_> = happened.iter().filter(|name| !list.contains_key(**name)).collect();
    let gone: Vec<_> = list.keys().filter(|name| !happened.contains(&name.as_str())).collect();
    assert!(unlisted.is_empty(), "{what}, but not on the list: {unlisted:?}");
    assert!(gone.is_empty(), "on the list of what {what}, but it does not: {gone:?}");
}

#[test]
fn every_test_passes_but_those_on_the_list() {
    let known = known();
    let failed = failed(straight());
    report(&failed, &known);
    assert_listed("fails", &failed, &known);
}

/// A table of the first run.
fn report(failed: &[&str], known: &Known) {
    let asking = asking();
    say("tests of the Core Rule Set", cases().len());
    say("  only for the web server (a status, no response)", cases().len() - asking);
    say("  that expect a rule to match, or not to", asking);
    say_passed("    pass", failed);
    let mut causes = BTreeMap::new();
    for name in failed {
        *causes.entry(known.get(*name).map_or("unknown", String::as_str)).or_insert(0) += 1;
    }
    for (cause, count) in causes {
        say(&format!("    fail, cause: {cause}"), count);
    }
}

fn asking() -> usize {
    cases().iter().filter(|case| case.expected.rule.is_some()).count()
}

fn say_passed(what: &str, failed: &[&str]) {
    let passed = asking() - failed.len();
    say(&format!("{what}, {:.2} %", 100.0 * passed as f64 / asking() as f64), passed);
}

/// One line of a table, past the test harness, which would keep it for itself.
fn say(what: &str, count: usize) {
    drop(writeln!(stderr(), "{what:<60} {count:>5}"));
}

#[test]
fn the_engine_alone_finds_the_same() {
    let direct = direct::run(cases(), &rules::installed());
    assert_eq!(direct.len(), cases().len());
    let pairs = cases().iter().zip(straight().iter().zip(&direct));
    let differences = pairs.filter_map(|(case, (agent, engine))| {
        let changes = changes(engine, agent);
        (!changes.is_empty()).then(|| format!("{}={changes}", case.name))
    });
    let differences: Vec<_> = differences.collect();
    let differences: Vec<_> = differences.iter().map(String::as_str).collect();
    let list = if engine() == 2 { known::read(DIRECT_LIST_2) } else { Known::new() };
    assert_listed("differs", &differences, &list);
}

#[test]
fn without_the_engine_s_causes_only_the_test_s_own_are_left() {
    let mut known = known();
    known.retain(|_, cause| cause == TEST);
    // The causes are where version 3 is not as version 2 is.
    let failed = match engine() == 2 {
        true => failed(straight()),
        false => failed(&straight::run(cases(), &straight::agent(&rules::Mended::new().rules))),
    };
    say_passed("without the engine's causes: pass", &failed);
    assert_listed("fails", &failed, &known);
}

#[test]
fn behind_haproxy_it_is_the_same_but_for_what_is_on_the_list() {
    let outcomes = behind::run(cases(), &straight::agent(&rules::installed()));
    let all = cases().iter().zip(straight()).zip(&outcomes);
    let remarks: Vec<_> =
        all.filter_map(|((case, straight), outcome)| outcome.remark(case, straight)).collect();
    report_behind(&outcomes);
    let remarks: Vec<_> = remarks.iter().map(String::as_str).collect();
    assert_listed("differs", &remarks, &known::read(HAPROXY_LIST));
}

/// A table of the second run.
fn report_behind(outcomes: &[Outcome]) {
    let seen: Vec<_> = cases().iter().zip(outcomes).filter(|(_, outcome)| outcome.rules.is_some()).collect();
    let asking = seen.iter().filter_map(|(case, outcome)| Some((case.expected.rule?, outcome)));
    let passed: Vec<_> = asking
        .map(|((rule, wanted), outcome)| outcome.rules.as_ref().unwrap().contains(&rule) == wanted)
        .collect();
    let count = passed.iter().filter(|passed| **passed).count();
    say("tests sent to HAProxy", outcomes.len());
    say("  refused by it", outcomes.len() - seen.len());
    say("  inspected", seen.len());
    say("    that expect a rule to match, or not to", passed.len());
    say(&format!("      pass, {:.2} %", 100.0 * count as f64 / passed.len() as f64), count);
    let web: Vec<_> = cases().iter().zip(outcomes).filter(|(case, _)| case.expected.rule.is_none()).collect();
    say("  only for the web server", web.len());
    let web = web.iter().filter(|(case, outcome)| outcome.is_what_the_web_server_should_say(case));
    say("    pass", web.count());
}
