//! Are engine processes replaced after so many requests (`--max-requests`), without a request or a response that notices?

use std::fs;
use std::process::Command;
use std::thread;

use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::process::run;
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::wait_until;
use crate::support::wire::Value;

/// Those from 4 on are there for a log without warnings.
const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n\
    SecRule ARGS:q \"@streq attack\" \"id:1,phase:1,deny,log\"\n\
    SecRule ARGS:q \"@streq marked\" \"id:2,phase:1,pass,nolog,setvar:tx.marked=1\"\n\
    SecRule TX:marked \"@eq 1\" \"id:3,phase:3,deny,status:501,log\"\n\
    SecRule REQBODY_ERROR|MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:4,phase:2,deny,log\"\n\
    SecRule REQUEST_HEADERS:Content-Type \"@rx json\" \"id:5,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
    SecRule REQUEST_HEADERS:Content-Type \"@rx xml\" \"id:6,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
    SecRule &ARGS \"@ge 1000\" \"id:7,phase:2,deny,log\"\n\
    SecRule TX:/^MSC_/ \"!@streq 0\" \"id:8,phase:2,deny,log\"\n";

fn ask(link: &mut Link, word: &str) -> Ack {
    link.ask(&Message::get("/", Some(&format!("q={word}"))))
}

/// The one engine, once it is alone.
fn only_engine(agent: &Agent) -> u32 {
    wait_until("a single engine", || agent.engines().len() == 1);
    agent.engines()[0]
}

/// What processes hold: descriptors of the front and of the zygote, and memory that the front shares with engines.
fn held(agent: &Agent) -> (usize, usize) {
    let descriptors = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let (engines, helpers) = (agent.engines(), agent.helpers());
    let zygotes = helpers.iter().filter(|pid| !engines.contains(pid));
    let maps = fs::read_to_string(format!("/proc/{}/maps", agent.pid())).unwrap();
    let shared = maps.lines().filter(|line| line.contains("memfd:jobs")).count();
    (descriptors(agent.pid()) + zygotes.map(|pid| descriptors(*pid)).sum::<usize>(), shared)
}

const RECYCLED: &str = " engine recycled, ";

fn recycled(agent: &Agent) -> Vec<String> {
    agent.log.lines_with(RECYCLED)
}

#[track_caller]
fn assert_calm(log: &[String]) {
    let alarming =
        |line: &&String| [" WARN ", " ERRO ", " CRIT ", "restarted"].iter().any(|word| line.contains(word));
    assert_eq!(log.iter().find(alarming), None);
}

#[test]
fn an_engine_has_so_many_requests_and_then_another_does() {
    let agent = Agent::with_rules(RULES, &["-n", "1", "--max-requests", "10", "-d"]);
    let mut link = agent.link();
    let mut engine = only_engine(&agent);
    for _ in 0..5 {
        for _ in 0..9 {
            assert_eq!(ask(&mut link, "attack").code(), Some(403));
        }
        assert_eq!(agent.engines(), [engine], "too early");
        assert_eq!(ask(&mut link, "clean").code(), Some(0));
        wait_until("another engine", || !agent.engines().contains(&engine));
        engine = only_engine(&agent);
    }
    assert!(
        recycled(&agent).iter().all(|line| value(line, "requests") == Some("10")),
        "{:?}",
        recycled(&agent)
    );
    let (status, log) = agent.stop();
    assert_eq!(status.code(), Some(0));
    assert_calm(&log);
}

#[test]
fn without_the_option_an_engine_stays() {
    let agent = Agent::with_rules(RULES, &["-n", "1"]);
    let engine = only_engine(&agent);
    let mut link = agent.link();
    (0..2_000).for_each(|_| assert_eq!(ask(&mut link, "clean").code(), Some(0)));
    assert_eq!(agent.engines(), [engine]);
}

#[test]
fn under_load_no_request_is_left_out_and_nothing_is_left_behind() {
    let agent = Agent::with_rules(RULES, &["-n", "3", "--max-requests", "20", "-d"]);
    let mut links: Vec<Link> = (0..4).map(|_| agent.link()).collect();
    ask(&mut links[0], "clean");
    let before = held(&agent);
    thread::scope(|scope| {
        for link in &mut links {
            scope.spawn(|| {
                for number in 0..1_500 {
                    let (word, code) = if number % 3 == 0 { ("attack", 403) } else { ("clean", 0) };
                    let ack = ask(link, word);
                    assert_eq!((ack.code(), ack.error()), (Some(code), None), "{number}: {ack:?}");
                }
            });
        }
    });
    wait_until("one zygote, its spare and three engines", || agent.helpers().len() == 5);
    // The zygote host hears of an engine's end a moment after the system.
    wait_until("descriptors, and memory shared with engines, as before", || held(&agent) == before);
    let lines = agent.stop().1;
    let count = lines.iter().filter(|line| line.contains(RECYCLED)).count();
    // 6,001 requests, and up to 19 in each of three engines.
    assert!((297..=303).contains(&count), "{count} engines recycled");
    assert_calm(&lines);
}

#[test]
fn workers_do_not_all_recycle_at_the_same_time() {
    let agent = Agent::with_rules(RULES, &["-n", "4", "--max-requests", "40", "-d"]);
    let mut link = agent.link();
    let has = |worker: usize, requests: &str| {
        recycled(&agent).iter().any(|line| {
            value(line, "worker") == Some(&worker.to_string()) && value(line, "requests") == Some(requests)
        })
    };
    let all = [(1, "40"), (2, "30"), (3, "20"), (4, "10")];
    wait_until("each worker's first", || {
        ask(&mut link, "clean");
        all.iter().all(|(worker, requests)| has(*worker, requests))
    });
    wait_until("a later one", || {
        ask(&mut link, "clean");
        has(4, "40")
    });
}

#[test]
fn a_response_finds_the_transaction_in_the_engine_that_was_replaced() {
    let options = ["-n", "1", "--max-requests", "5", "--responses", "100", "--response-ttl", "3600s", "-d"];
    let agent = Agent::with_rules(RULES, &options);
    let mut link = agent.link();
    let first = only_engine(&agent);
    let asked: Vec<_> = (0..5).map(|_| ask(&mut link, "marked")).collect();
    wait_until("the second engine", || agent.engines().len() == 2);
    let both = agent.engines();
    assert!(both.contains(&first));
    // Those of the second stay in it: it is not replaced as long as the first is needed.
    let more: Vec<_> = (0..20).map(|_| ask(&mut link, "marked")).collect();
    assert_eq!(agent.engines(), both);
    for ack in asked.iter().chain(&more) {
        let answer = link.ask(&Message::response(ack, "a page"));
        assert_eq!((answer.code(), answer.get("lost")), (Some(501), Some(&Value::Bool(false))), "{answer:?}");
    }
    wait_until("the end of the first", || !agent.engines().contains(&first));
    // Now that its turn has come, nothing waits in the second.
    wait_until("the end of the second", || agent.engines().len() == 1 && recycled(&agent).len() == 2);
    let again = ask(&mut link, "marked");
    assert_eq!(link.ask(&Message::response(&again, "a page")).code(), Some(501));
    assert_calm(&agent.stop().1);
}

#[test]
fn a_reload_spreads_the_workers_anew() {
    let agent = Agent::with_rules(RULES, &["-n", "2", "--max-requests", "40", "-d"]);
    let mut link = agent.link();
    let of_second = || recycled(&agent).into_iter().filter(|line| value(line, "worker") == Some("2")).count();
    wait_until("worker 2's first", || {
        ask(&mut link, "clean");
        of_second() == 1
    });
    let old = agent.engines();
    agent.signal("HUP");
    wait_until("new engines for both", || {
        let new = agent.engines();
        new.len() == 2 && !new.iter().any(|engine| old.contains(engine))
    });
    wait_until("worker 2's next", || {
        ask(&mut link, "clean");
        of_second() == 2
    });
    let lines = recycled(&agent);
    let last = lines.iter().rfind(|line| value(line, "worker") == Some("2")).unwrap();
    assert_eq!(value(last, "requests"), Some("20"), "{last}");
    assert_calm(&agent.stop().1);
}

#[test]
fn an_engine_that_cannot_be_replaced_goes_on() {
    let agent = Agent::with_rules(RULES, &["-n", "1", "--max-requests", "10", "-d"]);
    let mut link = agent.link();
    let engine = only_engine(&agent);
    let pid = agent.pid().to_string();
    let limit = |soft: &str| {
        let limit = format!("--nofile={soft}:");
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    };
    limit("4");
    (0..10).for_each(|_| assert_eq!(ask(&mut link, "attack").code(), Some(403)));
    let line = agent.log.wait_for_text(" engine cannot be recycled and goes on");
    assert!(line.contains(" WARN ") && value(&line, "requests") == Some("10"), "{line}");
    assert_eq!(value(&line, "next_attempt_after_requests"), Some("20"), "{line}");
    assert_eq!(agent.engines(), [engine]);
    limit("1024");
    (0..10).for_each(|_| assert_eq!(ask(&mut link, "attack").code(), Some(403)));
    wait_until("another engine", || !agent.engines().contains(&engine));
    assert!(!agent.log.lines().iter().any(|line| line.contains("crashed")));
}

#[test]
fn the_option_is_checked() {
    for (options, said) in [
        (&["--max-requests", "1.5"][..], "--max-requests"),
        (&["--max-requests", "many"], "many"),
        (&["--max-requests", "4294967296"], "4294967295"),
        (&["--max-requests", "10", "--isolation", "thread"], "--isolation thread"),
    ] {
        let output = run(options, &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {text}");
        assert!(text.contains(said), "{options:?}: {text}");
    }
    let output = run(&[], &[("MODSECURITY_SPOA_MAX_REQUESTS", "many")]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
