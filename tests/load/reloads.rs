//! Many reloads under load: is each request answered by the rules of its time, and does nothing stay behind?
//!
//! `RELOADS` is how many: 30 here, and 1,000 once for the figures.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::machine::shared;
use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::spop::{Link, Message};
use crate::support::waiting::{SetAtEnd, wait_until};

/// Workers, each with an engine.
const WORKERS: usize = 2;

/// KiB by which the agent's own process may grow over all reloads, at most: it logs and allocates, and each list of rules
/// has other addresses. A zygote that is not let go of has more.
const GROWTH: u64 = 6_000;

/// Rules that deny one word always, and another in this generation alone.
fn put(file: &Path, generation: usize) {
    let rules = format!(
        "SecRuleEngine On\nSecRule ARGS:q \"@streq always\" \"id:1,phase:1,deny,nolog\"\n\
         SecRule ARGS:q \"@streq word{generation}\" \"id:2,phase:1,deny,nolog\"\n"
    );
    let new = file.with_extension("new");
    fs::write(&new, rules).unwrap();
    fs::rename(&new, file).unwrap();
}

fn code(link: &mut Link, word: &str) -> Option<i64> {
    let ack = link.ask(&Message::get("/", Some(&format!("q={word}"))));
    assert_eq!(ack.error(), None, "{ack:?}");
    ack.code()
}

fn descriptors(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count()
}

fn threads(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().count()
}

#[test]
fn no_reload_costs_a_verdict_and_none_leaves_anything_behind() {
    let _machine = shared();
    let reloads = std::env::var("RELOADS").map_or(30, |number| number.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.conf");
    put(&file, 0);
    let agent = Agent::start(&["-n", &WORKERS.to_string(), "-f", file.to_str().unwrap()]);
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    let (mut warm, mut longest) = (0, 0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut link = agent.link();
                while !over.load(Ordering::Relaxed) {
                    assert_eq!((code(&mut link, "always"), code(&mut link, "never")), (Some(403), Some(0)));
                    asked.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        let _end = SetAtEnd(&over);
        let mut link = agent.link();
        let mut mark = 0;
        for generation in 1..=reloads {
            put(&file, generation);
            let begun = Instant::now();
            agent.signal("HUP");
            let next = (generation + 1).to_string();
            let is_over = |line: &str| {
                line.contains(" rules reloaded, ") && value(line, "generation") == Some(next.as_str())
            };
            agent.log.wait_for_after(mark, "the reload", is_over);
            mark = agent.log.count();
            // Each worker renews its engine between two requests.
            wait_until("the new rules", || code(&mut link, &format!("word{generation}")) == Some(403));
            wait_until("the end of the old rules", || {
                code(&mut link, &format!("word{}", generation - 1)) == Some(0)
            });
            longest = longest.max(begun.elapsed().as_millis());
            if generation == reloads / 10 {
                warm = Agent::own_kib(agent.pid());
            }
        }
    });
    let time = start.elapsed();
    // One zygote, its spare, and the engines.
    wait_until("the end of older engines", || agent.helpers().len() == 2 + WORKERS);
    let (own, count) = (Agent::own_kib(agent.pid()), asked.into_inner());
    println!(
        "{reloads} reloads in {:.1} s, the longest {longest} ms; {count} requests meanwhile, {:.0} a second; \
         front {warm} KiB, then {own} KiB; {} descriptors, {} threads",
        time.as_secs_f64(),
        count as f64 / time.as_secs_f64(),
        descriptors(&agent),
        threads(&agent)
    );
    let fresh = Agent::start(&["-n", &WORKERS.to_string(), "-f", file.to_str().unwrap()]);
    wait_until("as few descriptors as a fresh agent has", || descriptors(&agent) <= descriptors(&fresh));
    wait_until("as few threads as a fresh agent has", || threads(&agent) <= threads(&fresh));
    assert!(own < warm + GROWTH, "the agent's own process grew from {warm} to {own} KiB");
}
