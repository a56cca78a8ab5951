//! All requests given to the agent, straight over SPOP.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cases::Case;
use crate::http::Parts;
use crate::support::agent::Agent;
use crate::support::spop::{Ack, Link, hello};
use crate::support::wire::Value;

/// Rules by their ids.
pub type Rules = BTreeSet<u64>;

/// Larger than the largest request, which has a body of 64 KB.
pub const FRAME: u32 = 131_072;

/// Requests at a time.
pub const AT_A_TIME: usize = 4;

/// An agent with these rules, and a worker for each core of CI.
pub fn agent(rules: &str) -> Agent {
    Agent::with_rules(rules, &["--workers", "2", "--max-frame-size", &FRAME.to_string()])
}

/// The rules that the agent says matched, for each test. It must have inspected every request, and denied none.
pub fn run(cases: &[Case], agent: &Agent) -> Vec<Rules> {
    let link = || {
        let mut link = agent.connect();
        let mut items = hello();
        items[1].1 = Value::Uint32(FRAME);
        link.greet(items);
        link
    };
    in_parallel(cases, link, |link: &mut Link, case| {
        let ack = link.ask(&Parts::of(&case.request).message(&case.name));
        assert_eq!((ack.code(), ack.error()), (Some(0), None), "{}: {ack:?}", case.name);
        rules_of(&ack)
    })
}

fn rules_of(ack: &Ack) -> Rules {
    ack.get("rule_ids").map_or_else(Rules::new, |ids| parse(ids.str()))
}

/// From the agent's list.
pub fn parse(ids: &str) -> Rules {
    ids.split(',').map(|id| id.parse().unwrap()).collect()
}

/// What is gone and what is new, as the lists in tests/data write it; empty when nothing is.
pub fn changes(from: &Rules, to: &Rules) -> String {
    let gone = from.difference(to).map(|rule| format!("-{rule}"));
    let new = to.difference(from).map(|rule| format!("+{rule}"));
    gone.chain(new).collect::<Vec<_>>().join(",")
}

/// What `ask` gives for each test, in their order, asked by some threads at a time, each with something of its own.
pub fn in_parallel<Own, Answer: Send>(
    cases: &[Case],
    own: impl Fn() -> Own + Sync,
    ask: impl Fn(&mut Own, &Case) -> Answer + Sync,
) -> Vec<Answer> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                let mut own = own();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let answer = ask(&mut own, case);
                    answers.lock().unwrap().push((index, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap();
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
