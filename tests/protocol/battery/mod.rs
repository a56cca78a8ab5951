//! Does whatever a peer may send have its exact answer: an ACK, a DISCONNECT with its code, or the end of the link?
//!
//! The cases are data, one module for each kind of frame; this file sends them and reads what comes. After each of them
//! the agent must serve a good request on a new link, and after all of them it must have the memory, descriptors and
//! threads that it had before.

mod arguments;
mod case;
mod disconnect;
mod fragments;
mod head;
mod headers;
mod hello;
mod notify;
mod order;
mod response;

use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use self::case::{Answer, Case, Verdict};
use crate::support::agent::Agent;
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::wait_until;
use crate::support::wire::{ACK, AGENT_DISCONNECT, AGENT_HELLO, Frame, Reader};

/// The attacks of the cases are `deny=query`, the header `x-deny` and the body `deny=body`.
const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS_GET:deny "@streq query" "id:1,phase:1,deny,status:471"
SecRule REQUEST_HEADERS:X-Deny "@streq header" "id:2,phase:1,deny,status:472"
SecRule ARGS_POST:deny "@streq body" "id:3,phase:2,deny,status:473"
"#;

fn cases() -> Vec<Case> {
    let kinds = [
        ("head", head::cases()),
        ("hello", hello::cases()),
        ("disconnect", disconnect::cases()),
        ("notify", notify::cases()),
        ("arguments", arguments::cases()),
        ("headers", headers::cases()),
        ("response", response::cases()),
        ("order", order::cases()),
        ("fragments", fragments::cases()),
    ];
    for (kind, cases) in &kinds {
        println!("{kind}: {} cases", cases.len());
    }
    let cases: Vec<_> = kinds.into_iter().flat_map(|(_, cases)| cases).collect();
    println!("{} cases in all", cases.len());
    cases
}

/// What one frame of the agent's says.
fn understand(frame: &Frame) -> Answer {
    match frame.kind {
        AGENT_HELLO => Answer::Greeting,
        AGENT_DISCONNECT => {
            let items = Reader(&frame.payload).pairs();
            let item = |wanted: &str| &items.iter().find(|(name, _)| name == wanted).unwrap().1;
            assert_ne!(item("message").str(), "", "a DISCONNECT that gives no reason");
            Answer::Bye(item("status-code").int())
        }
        ACK => {
            let ack = Ack::read(frame);
            let verdict = match (ack.code(), ack.error()) {
                (Some(0), None) => Verdict::Clean,
                (Some(code), None) => Verdict::Denied(code),
                (None, Some("invalid")) => Verdict::Invalid,
                (None, Some("engine")) => Verdict::Failed,
                _ => panic!("neither a verdict nor an error: {ack:?}"),
            };
            Answer::Ack(frame.stream, frame.id, verdict)
        }
        _ => panic!("a frame that no agent sends: {frame:?}"),
    }
}

/// Sends a case to the agent, and gives what came until its end, or until as much came as is expected.
fn answers(agent: &Agent, case: &Case) -> Vec<Answer> {
    let stream = TcpStream::connect(agent.address()).unwrap();
    let end = stream.try_clone().unwrap();
    let mut link = Link::over(stream);
    link.send_bytes(&case.bytes);
    if case.ends {
        end.shutdown(Shutdown::Write).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < case.expected.len() {
        if case.expected[seen.len()] == Answer::Open {
            link.send(&Message::get("/", None).notify(4711, 1));
            let good = understand(&link.expect());
            assert_eq!(good, Answer::Ack(4711, 1, Verdict::Clean), "the link is of no use any more");
            seen.push(Answer::Open);
        } else if let Some(frame) = link.receive() {
            seen.push(understand(&frame));
        } else {
            seen.push(Answer::Close);
        }
        if matches!(seen.last(), Some(Answer::Bye(_))) {
            assert_eq!(link.receive(), None, "the agent goes on after its DISCONNECT");
        }
    }
    seen
}

/// Runs all cases, and gives what is wrong.
fn run(agent: &Agent, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let seen = catch_unwind(AssertUnwindSafe(|| answers(agent, case)));
        match seen {
            Ok(seen) if seen == case.expected => {}
            Ok(seen) => wrong.push(format!("{}: {seen:?}, expected {:?}", case.name, case.expected)),
            Err(_) => wrong.push(format!("{}: no answer that can be read (see above)", case.name)),
        }
        let good = catch_unwind(AssertUnwindSafe(|| agent.link().ask(&Message::get("/", None)).code()));
        if !matches!(good, Ok(Some(0))) {
            wrong.push(format!("{}: after it a good request on a new link has {good:?}", case.name));
        }
    }
    wrong
}

/// How many entries a folder of the agent's in /proc has: descriptors (`fd`) or threads (`task`).
fn count(agent: &Agent, what: &str) -> usize {
    let folder = PathBuf::from(format!("/proc/{}/{what}", agent.pid()));
    std::fs::read_dir(folder).unwrap().count()
}

/// Waits until the agent has closed what the last cases left: a link lingers until its peer closes too.
fn await_descriptors(agent: &Agent, most: usize) {
    wait_until("descriptors to be given back", || count(agent, "fd") <= most);
}

#[test]
fn each_case_has_its_exact_answer_and_leaves_nothing_behind() {
    // One engine: each of several keeps the 1 MB of the largest case only when its turn comes to serve that one.
    let agent = Agent::with_rules(RULES, &["-n", "1", "-c", "pipelining"]);
    let cases = cases();
    assert!(cases.len() >= 250, "{} cases", cases.len());
    let mut names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "two cases of one name");

    let descriptors = count(&agent, "fd");
    let wrong = run(&agent, &cases);
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    await_descriptors(&agent, descriptors);
    let (memory, threads) = (agent.resident_kib(), count(&agent, "task"));

    let rounds = 3;
    for _ in 0..rounds {
        assert_eq!(run(&agent, &cases), Vec::<String>::new());
    }
    await_descriptors(&agent, descriptors);
    let end = agent.resident_kib();
    println!("resident memory: {memory} KiB after the cases, {end} KiB after {rounds} times more");
    assert_eq!(count(&agent, "task"), threads);
    // The allocators of all processes together take another 0.3 MB until they have enough; 300 bytes a case would show.
    assert!(end < memory + 1_000, "resident memory grew from {memory} to {end} KiB");

    let (status, log) = agent.stop();
    assert!(status.success(), "{status}");
    let bad = |line: &&String| line.contains("panic") || line.contains(" ERRO ") || line.contains(" CRIT ");
    assert_eq!(log.iter().filter(bad).collect::<Vec<_>>(), Vec::<&String>::new());
}
