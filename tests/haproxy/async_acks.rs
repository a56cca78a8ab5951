//! Does a request get its answer though the link that it came on is gone? HAProxy up to 3.0 takes the answers of one
//! engine on any of its links (capability `async`), later versions do not know of it.

use crate::support::agent::Agent;
use crate::support::haproxy::{Haproxy, repository, version};
use crate::support::process::signal;
use crate::support::spop::{Link, Message, hello};
use crate::support::tap::{Seen, Tap};
use crate::support::wire::text;

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:deny \"@streq this\" \"id:1,phase:1,deny,status:403\"\n";

/// An agent whose engines may stand still for as long as a test takes.
fn agent(options: &[&str]) -> Agent {
    let common = ["--debug", "--stall-limit", "120s", "-c", "pipelining", "-c", "async"];
    Agent::with_rules(RULES, &[&common[..], options].concat())
}

/// Has all engines stop, or go on: so a link can go while its requests are with them.
fn engines(agent: &Agent, name: &str) {
    for engine in agent.engines() {
        signal(engine, name);
    }
}

/// A link of this engine, and what the agent announces on it.
fn link_of(address: &str, offered: &str, engine: Option<&str>) -> (Link, String) {
    let mut link = Link::connect(address);
    let mut items = hello();
    items.retain(|(name, _)| *name != "capabilities");
    items.push(("capabilities", text(offered)));
    items.extend(engine.map(|engine| ("engine-id", text(engine))));
    let announced = link.greet(items).get("capabilities").unwrap().str().to_owned();
    (link, announced)
}

#[test]
fn async_is_announced_to_those_who_have_it_and_a_name() {
    let agent = agent(&[]);
    let announced = |offered, engine: Option<&str>| {
        link_of(agent.address(), offered, engine).1.split(',').any(|name| name == "async")
    };
    assert!(announced("pipelining,async", Some("8E0F9F6E-6E4F-4A5B-8C0B-0D2B7F4B9E7A")));
    assert!(announced("async", Some("x")));
    assert!(!announced("pipelining", Some("x")));
    assert!(!announced("pipelining,async", None));
    assert!(!announced("pipelining,async", Some("")));
    assert!(!announced("pipelining,async", Some(&"x".repeat(65))));
    let default = Agent::with_rules(RULES, &[]);
    assert!(!link_of(default.address(), "pipelining,async", Some("x")).1.contains("async"));
}

/// As HAProxy greets, as this engine.
fn open(address: &str, engine: &str) -> Link {
    link_of(address, "pipelining,async", Some(engine)).0
}

#[test]
fn a_link_of_the_same_engine_at_the_same_address_brings_the_answer_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("agent.sock").display());
    let agent = agent(&["-n", "1", "--listen", "[::1]:0", "--listen", &unix]);
    assert_eq!(agent.addresses.len(), 3, "{:?}", agent.addresses);
    for (number, address) in agent.addresses.iter().enumerate() {
        let mut stranger = open(address, "another-engine");
        let mut links: Vec<Link> = agent.addresses.iter().map(|address| open(address, "an-engine")).collect();
        let mut leaving = open(address, "an-engine");
        engines(&agent, "STOP");
        let mark = agent.log.count();
        leaving.send(&Message::get("/", Some("deny=this")).notify(77, 3));
        drop(leaving);
        agent.log.wait_for_after(mark, "the end of the link", |line| line.contains(" link closed"));
        engines(&agent, "CONT");
        let ack = links[number].expect_ack();
        assert_eq!((ack.stream, ack.frame, ack.code()), (77, 3, Some(403)), "{address}");
        for link in links.iter_mut().chain([&mut stranger]) {
            assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0), "{address}");
            let mark = agent.log.count();
            link.say_goodbye();
            assert_eq!(link.expect_farewell().code, 0);
            agent.log.wait_for_after(mark, "its end", |line| line.contains(" HAProxy disconnects"));
        }
    }
}

#[test]
fn haproxy_takes_an_answer_on_another_link_when_the_first_is_cut() {
    let agent = agent(&["-n", "2"]);
    let tap = Tap::start(agent.address());
    // HAProxy has an engine-id and links for each of its threads.
    let folder = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(repository("deploy/haproxy.cfg")).unwrap();
    let path = folder.path().join("haproxy.cfg");
    std::fs::write(&path, config.replacen("\nglobal\n", "\nglobal\n    nbthread 1\n", 1)).unwrap();
    let haproxy = &Haproxy::start_from(&path, &tap.address(), &[]);
    // Later versions may send both requests on one link.
    let (has_async, links) = if version() < (3, 1) { (true, 2) } else { (false, 1) };
    engines(&agent, "STOP");
    std::thread::scope(|scope| {
        let ask = |target: &'static str| scope.spawn(move || haproxy.curl(target, &[]));
        let (clean, attack) = (ask("/?deny=that"), ask("/?deny=this"));
        let is_request = |seen: &&Seen| matches!(seen, Seen::Request { .. });
        let is_open = |seen: &&Seen| matches!(seen, Seen::Open { .. });
        let seen = tap.wait_for("two requests and their links", |seen| {
            seen.iter().filter(is_request).count() == 2 && seen.iter().filter(is_open).count() >= links
        });
        for seen in seen.iter().filter(is_open) {
            assert!(matches!(seen, Seen::Open { with_async, .. } if *with_async == has_async), "{seen:?}");
        }
        let Some(&Seen::Request { link: cut, stream }) = seen.iter().find(is_request) else {
            panic!("{seen:?}")
        };
        if has_async {
            let mark = agent.log.count();
            let peer = tap.cut(cut);
            let is_end = |line: &str| line.contains(" link closed") && line.contains(&peer);
            agent.log.wait_for_after(mark, "the end of the link", is_end);
        }
        engines(&agent, "CONT");
        clean.join().unwrap().assert_clean();
        attack.join().unwrap().assert_denied();
        if has_async {
            let is_answer =
                |seen: &&Seen| matches!(seen, Seen::Answer { stream: answered, .. } if *answered == stream);
            let seen = tap.wait_for("the answer", |seen| seen.iter().any(|seen| is_answer(&seen)));
            assert!(seen.iter().filter(is_answer).all(|seen| *seen != Seen::Answer { link: cut, stream }));
        }
    });
}
