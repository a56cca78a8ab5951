//! Does a request get its answer though the link that it came on is gone? HAProxy up to 3.0 takes the answers of one
//! engine on any of its links (capability `async`), later versions do not know of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use support::PATIENCE;
use support::agent::Agent;
use support::haproxy::{Haproxy, repository, version};
use support::spop::{Link, Message, hello};
use support::wire::{ACK, AGENT_HELLO, Frame, HELLO, NOTIFY, text};

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:deny \"@streq this\" \"id:1,phase:1,deny,status:403\"\n";

/// A link of this engine. Links are of one only with the same address at the other end.
fn link_of(address: &str, engine: &str) -> Link {
    let mut link = Link::connect(address);
    let mut items = hello();
    items.push(("engine-id", text(engine)));
    assert!(link.greet(items).get("capabilities").unwrap().str().contains("async"));
    link
}

#[test]
fn another_link_of_the_engine_brings_the_answers_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("agent.sock").display());
    let (_rules, rules) = support::agent::rule_file(RULES);
    let options = ["-f", rules.to_str().unwrap(), "--listen", "127.0.0.1:0", "--listen", &unix];
    let agent =
        Agent::start_exactly(&[&options[..], &["-n", "1", "-t", "300ms", "--deadline", "30s"]].concat(), &[]);
    let mut leaving = link_of(agent.address(), "an-engine");
    let mut sibling = link_of(agent.address(), "an-engine");
    let mut stranger = link_of(agent.address(), "another-engine");
    let mut elsewhere = link_of(&unix, "an-engine");
    leaving.send(&Message::get("/", Some("deny=this")).notify(77, 3));
    drop(leaving);
    let ack = sibling.expect_ack();
    assert_eq!((ack.stream, ack.frame, ack.code()), (77, 3, Some(403)));
    for link in [&mut sibling, &mut stranger, &mut elsewhere] {
        assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0));
        link.say_goodbye();
        assert_eq!(link.expect_farewell().code, 0);
    }
}

#[test]
fn async_is_announced_to_those_who_have_it_and_a_name() {
    let agent = Agent::with_rules(RULES, &[]);
    let announced = |engine: Option<&str>, offered: &str| {
        let mut items = hello();
        items.retain(|(name, _)| *name != "capabilities");
        items.push(("capabilities", text(offered)));
        items.extend(engine.map(|engine| ("engine-id", text(engine))));
        let greeting = agent.connect().greet(items);
        greeting.get("capabilities").unwrap().str().split(',').any(|name| name == "async")
    };
    assert!(announced(Some("8E0F9F6E-6E4F-4A5B-8C0B-0D2B7F4B9E7A"), "pipelining,async"));
    assert!(announced(Some("x"), "async"));
    assert!(!announced(Some("x"), "pipelining"));
    assert!(!announced(None, "pipelining,async"));
    assert!(!announced(Some(""), "pipelining,async"));
    assert!(!announced(Some(&"x".repeat(65)), "pipelining,async"));
}

/// What went through, in the order in which it did.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    /// The agent has greeted on this link, which is no health check's, with `async` or without.
    Open(usize, bool),
    /// A request of this stream.
    Request(usize, u64),
    /// An answer to this stream.
    Answer(usize, u64),
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    links: Vec<[TcpStream; 2]>,
    checks: Vec<usize>,
}

/// Stands between HAProxy and the agent, reads the frames that it passes on, and can cut a link.
#[derive(Clone, Default)]
struct Wire(Arc<(Mutex<State>, Condvar)>);

impl Wire {
    fn start(agent: &str) -> (Self, String) {
        let (wire, agent) = (Self::default(), agent.to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let this = wire.clone();
        std::thread::spawn(move || {
            for haproxy in listener.incoming() {
                let (haproxy, agent) = (haproxy.unwrap(), TcpStream::connect(&agent).unwrap());
                let mut state = this.0.0.lock().unwrap();
                let number = state.links.len();
                state.links.push([haproxy.try_clone().unwrap(), agent.try_clone().unwrap()]);
                drop(state);
                this.pass_on(number, haproxy.try_clone().unwrap(), agent.try_clone().unwrap());
                this.pass_on(number, agent, haproxy);
            }
        });
        (wire, address)
    }

    fn pass_on(&self, number: usize, mut from: TcpStream, mut to: TcpStream) {
        let wire = self.clone();
        std::thread::spawn(move || {
            while let Some(bytes) = read_frame(&mut from) {
                wire.note(number, &Frame::decode(&bytes[4..]));
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
            drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
        });
    }

    fn note(&self, number: usize, frame: &Frame) {
        let has = |word: &[u8]| frame.payload.windows(word.len()).any(|window| window == word);
        let mut state = self.0.0.lock().unwrap();
        match frame.kind {
            HELLO if has(b"healthcheck") => state.checks.push(number),
            AGENT_HELLO if !state.checks.contains(&number) => {
                state.seen.push(Seen::Open(number, has(b"async")))
            }
            NOTIFY => state.seen.push(Seen::Request(number, frame.stream)),
            ACK => state.seen.push(Seen::Answer(number, frame.stream)),
            _ => {}
        }
        self.0.1.notify_all();
    }

    /// Waits until this holds for what was seen, and gives it.
    fn wait_for(&self, what: &str, holds: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let state = self.0.0.lock().unwrap();
        let (state, timeout) =
            self.0.1.wait_timeout_while(state, PATIENCE, |state| !holds(&state.seen)).unwrap();
        assert!(!timeout.timed_out(), "{what}: {:?}", state.seen);
        state.seen.clone()
    }

    fn cut(&self, number: usize) {
        for end in &self.0.0.lock().unwrap().links[number] {
            drop(end.shutdown(Shutdown::Both));
        }
    }
}

/// A frame with its length in front.
fn read_frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut frame).ok()?;
    Some([&length[..], &frame].concat())
}

#[test]
fn haproxy_takes_an_answer_on_another_link_when_the_first_is_cut() {
    // A worker takes 1 s for each, so the link is cut while both are at it.
    let agent = Agent::with_rules(RULES, &["-n", "2", "-t", "1s"]);
    let (wire, address) = Wire::start(agent.address());
    // HAProxy has links for each of its threads.
    let folder = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(repository("deploy/haproxy.cfg")).unwrap();
    let path = folder.path().join("haproxy.cfg");
    std::fs::write(&path, config.replace("\nglobal\n", "\nglobal\n    nbthread 1\n")).unwrap();
    let haproxy = Haproxy::start_from(&path, &address, &[]);
    let haproxy = &haproxy;
    std::thread::scope(|scope| {
        let ask = |target: &'static str| scope.spawn(move || haproxy.curl(target, &[]));
        let (clean, attack) = (ask("/?deny=that"), ask("/?deny=this"));
        let is_request = |seen: &&Seen| matches!(seen, Seen::Request(..));
        let is_open = |seen: &&Seen| matches!(seen, Seen::Open(..));
        let seen = wire.wait_for("two requests, two links", |seen| {
            seen.iter().filter(is_request).count() == 2 && seen.iter().filter(is_open).count() >= 2
        });
        let has_async = version() < (3, 1);
        assert!(seen.iter().all(|seen| !matches!(seen, Seen::Open(_, announced) if *announced != has_async)));
        assert!(!seen.iter().any(|seen| matches!(seen, Seen::Answer(..))), "cannot cut it in time: {seen:?}");
        let Some(Seen::Request(cut, stream)) = seen.iter().find(is_request).copied() else {
            panic!("{seen:?}")
        };
        if has_async {
            wire.cut(cut);
            let seen = wire.wait_for("the answer", |seen| {
                seen.iter().any(|seen| matches!(seen, Seen::Answer(_, answered) if *answered == stream))
            });
            assert!(!seen.contains(&Seen::Answer(cut, stream)), "{seen:?}");
        }
        clean.join().unwrap().assert_clean();
        attack.join().unwrap().assert_denied();
    });
}
