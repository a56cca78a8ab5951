//! What happens when more is offered than the engines can inspect? As many verdicts as ever, and for every other request
//! an explicit error in time.
//!
//! The client is an open loop ([`crate::support::flood`]): it does not slow down because the agent does. Each test prints what
//! it measured: `cargo test --test load overload -- --nocapture`.

use crate::machine::alone;
use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::client::{Verdict, read_response};
use crate::support::flood::{Outcome, Plan, TOLERANCE, closed_loop, flood};
use crate::support::site::Site;
use crate::support::spop::{Ack, Message};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// `--deadline` where a test does not say otherwise: the default.
const DEADLINE: Duration = Duration::from_millis(500);

/// How much later than the deadline an answer may come on a machine that is busy with other things.
const BUSY: Duration = Duration::from_millis(250);

/// Inspects little, so that the throttle alone decides how many requests a second can be served.
const LIGHT: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny,status:403\"\n";

/// Floods the agent at this multiple of `capacity`, and prints a line of the table. A measurement during which the client
/// itself was kept from running says nothing about the agent: it is done again.
fn measure(agent: &Agent, capacity: f64, load: f64) -> Outcome {
    let plan = Plan { rate: capacity * load, time: Duration::from_secs(2), links: 8, deadline: DEADLINE };
    let attempt = || {
        let outcome = flood(agent, plan, |_| Message::get("/", Some("q=shoes")));
        println!("{}", outcome.row(&format!("{load}x")));
        assert_answered(&outcome);
        outcome
    };
    let mut outcome = attempt();
    for _ in 0..2 {
        if is_disturbed(&outcome) {
            outcome = attempt();
        }
    }
    outcome
}

fn is_disturbed(outcome: &Outcome) -> bool {
    outcome.lag > TOLERANCE
}

/// Measures at about the capacity, where goodput has its peak, and then far above it, where at least this share of the
/// peak must remain. Gives the peak, and how much memory grew meanwhile, in KiB.
fn assert_sustained(agent: &Agent, capacity: f64, share: f64) -> (f64, u64) {
    println!("{}", Outcome::head());
    let calm = [0.8, 1.0].map(|load| measure(agent, capacity, load));
    let peak = calm[0].goodput().max(calm[1].goodput());
    let mut memory = 0;
    for load in [2.0, 5.0, 10.0] {
        let mut sustains = |attempt| {
            // Something else may have taken the machine for a while: then the peak is not what it was, either.
            let peak = if attempt == 0 { peak } else { measure(agent, capacity, 1.0).goodput() };
            let outcome = measure(agent, capacity, load);
            memory = memory.max(outcome.memory.1);
            is_disturbed(&outcome) || outcome.goodput() >= share * peak
        };
        assert!((0..3).any(&mut sustains), "at {load}x less than {share} of the verdicts remain");
    }
    (peak, memory.saturating_sub(calm[0].memory.1))
}

/// Every request has exactly one answer: a verdict, or the error of an agent that is busy; none of them late.
#[track_caller]
fn assert_answered(outcome: &Outcome) {
    assert_eq!(outcome.repeated, 0, "answers to requests that had one");
    let silent = outcome.fates.iter().filter(|fate| fate.answer.is_none()).count();
    assert_eq!(silent, 0, "requests without any answer");
    let kinds = outcome.kinds();
    let expected = |kind: &&&str| ["", "overload", "timeout"].contains(*kind);
    assert_eq!(kinds.keys().find(|kind| !expected(kind)), None, "{kinds:?}");
    let (_, latest) = outcome.latency(|_| true);
    let limit = (DEADLINE + BUSY).as_secs_f64() * 1000.0;
    assert!(latest <= limit || is_disturbed(outcome), "the latest answer took {latest} ms");
    assert!(outcome.fates.iter().all(|fate| match &fate.answer {
        Some((_, ack)) => ack.error().is_some() == ack.code().is_none(),
        None => true,
    }));
}

#[test]
fn a_flood_straight_over_spop_costs_no_verdicts() {
    let _alone = alone();
    let agent = Agent::with_rules(LIGHT, &["-n", "4", "-t", "10ms", "--deadline", "500ms"]);
    let (peak, growth) = assert_sustained(&agent, 400.0, 0.9);
    assert!(peak > 250.0, "4 workers with 10 ms each gave only {peak} verdicts a second");
    assert!(growth < 4096, "memory grew by {growth} KiB");

    // The flood is over, and so is all that was left of it: no second is needed.
    let start = Instant::now();
    let ack = agent.link().ask(&Message::get("/", Some("q=bad")));
    println!("after the flood a request takes {:?}", start.elapsed());
    assert_eq!((ack.code(), ack.error()), (Some(403), None));
    assert!(start.elapsed() < Duration::from_millis(10) + TOLERANCE * 2, "{:?}", start.elapsed());
}

#[test]
fn a_flood_of_the_core_rule_set_is_answered_in_time() {
    let _alone = alone();
    let agent = Agent::start(&["-n", "2", "--deadline", "500ms"]);
    let capacity = closed_loop(&agent, 8, Duration::from_secs(2), &Message::get("/", Some("q=shoes")));
    println!("closed loop: {capacity:.0} verdicts a second");
    // Here the engines share the cores with the client, the front process and whatever else the machine does: on a calm
    // machine with 2 cores about 80 to 90 % of the peak remain. An agent that works for nobody has next to nothing left.
    let (_, growth) = assert_sustained(&agent, capacity, 0.5);
    assert!(growth < 16384, "memory grew by {growth} KiB");
}

#[test]
fn the_throttle_counts_towards_the_deadline_and_admission_knows_it() {
    let _alone = alone();
    let agent = Agent::with_rules(LIGHT, &["-n", "1", "-t", "200ms", "--deadline", "1s"]);
    let acks = at_once(&agent, 10);

    // One after the other at 200, 400, … ms: the fifth would be at the deadline itself.
    let late = acks.iter().filter(|(_, ack)| ack.error() == Some("overload")).count();
    let verdicts: Vec<_> = acks.iter().filter(|(_, ack)| ack.error().is_none()).collect();
    assert_eq!(late + verdicts.len(), 10, "{acks:?}");
    assert!((5..=8).contains(&late), "{late} of 10 refused");
    assert!(acks[..late].iter().all(|(_, ack)| ack.error().is_some()), "refused late: {acks:?}");
    for (index, (latency, _)) in verdicts.iter().enumerate() {
        assert!(*latency >= Duration::from_millis(200) * (index as u32 + 1), "{acks:?}");
        assert!(*latency <= Duration::from_secs(1) + TOLERANCE, "{acks:?}");
    }
}

#[test]
fn the_queue_holds_as_many_as_the_option_says() {
    let _alone = alone();
    // With half a minute left none would be late.
    let agent = Agent::with_rules(LIGHT, &["-n", "1", "-t", "100ms", "--queue", "3", "--deadline", "30s"]);
    let acks = at_once(&agent, 10);
    let refused = acks.iter().filter(|(_, ack)| ack.error() == Some("overload")).count();
    let verdicts = acks.iter().filter(|(_, ack)| ack.code() == Some(0)).count();
    // The worker may have taken the first out of the queue before the fourth came.
    assert!(verdicts == 3 || verdicts == 4, "{acks:?}");
    assert_eq!(refused + verdicts, 10, "{acks:?}");
}

#[test]
fn an_overdue_request_never_reaches_an_engine() {
    let _alone = alone();
    let rules = "SecRuleEngine On\nSecRule REQUEST_URI \"@contains request\" \"id:1,phase:1,pass,log,msg:'seen %{REQUEST_URI}'\"\n";
    let agent = Agent::with_rules(rules, &["-n", "1", "-t", "700ms", "--deadline", "1s"]);
    // The first is inspected at 700 ms; who waits behind it cannot be before 1400 ms.
    let acks = at_once(&agent, 4);
    let errors: Vec<_> = acks.iter().filter_map(|(_, ack)| Some((ack.stream, ack.error()?))).collect();
    assert_eq!(errors.len(), 3, "{acks:?}");
    assert!(errors.iter().all(|(stream, error)| *stream > 0 && ["overload", "timeout"].contains(error)));
    let ack = agent.link().ask(&Message::get("/request-after", None));
    assert_eq!((ack.code(), ack.error()), (Some(0), None));

    let (_, log) = agent.stop();
    let seen: Vec<_> = log.iter().filter(|line| line.contains(" rule matched, ")).collect();
    let of = |name: &str| seen.iter().filter(|line| line.contains(name)).count();
    assert_eq!((of("/request-0"), of("/request-after"), seen.len()), (1, 1, 2), "{seen:#?}");
}

/// Sends so many requests in one write on one link. Gives their ACKs in the order of their coming, each with its latency.
fn at_once(agent: &Agent, count: u64) -> Vec<(Duration, Ack)> {
    let mut link = agent.link();
    let request = |n| Message::get(&format!("/request-{n}"), None).notify(n, 1).encode();
    let bytes: Vec<u8> = (0..count).flat_map(request).collect();
    let start = Instant::now();
    link.send_bytes(&bytes);
    let mut ack = || {
        let ack = link.expect_ack();
        (start.elapsed(), ack)
    };
    (0..count).map(|_| ack()).collect()
}

#[test]
fn a_flood_through_haproxy_ends_in_verdicts_and_in_503() {
    let _alone = alone();
    let options = ["-n", "2", "-t", "10ms", "--deadline", "500ms"];
    let site = Site::new(Agent::with_rules(LIGHT, &options));
    // Five times what two workers with 10 ms each can serve.
    let statuses = http_flood(site.haproxy.v4, 1000.0, Duration::from_secs(2));
    let count = |wanted: u16| statuses.iter().filter(|(_, status)| *status == wanted).count();
    println!("HAProxy: {} x 200, {} x 403, {} x 503", count(200), count(403), count(503));

    for (attack, status) in &statuses {
        let allowed = [if *attack { 403 } else { 200 }, 503];
        assert!(allowed.contains(status), "{status} for a request that is an attack: {attack}");
    }
    assert!(count(503) > statuses.len() / 2, "no flood at all");
    assert!(count(200) > 100 && count(403) > 100, "2 s at 200 a second, half of them attacks");
    // HAProxy's lines come over UDP, so some may be missing.
    let lines = site.haproxy.log.lines_with(" modsec_code=");
    assert!(lines.len() > statuses.len() / 2, "{} lines", lines.len());
    lines.iter().for_each(|line| assert_consistent(line));

    site.haproxy.curl("/?q=shoes", &[]).assert_clean();
    site.haproxy.curl("/?q=bad", &[]).assert_denied();
}

/// What HAProxy logs of the verdict must be the reason for the status that it logs.
#[track_caller]
fn assert_consistent(line: &str) {
    let verdict = Verdict::parse(line);
    let timers =
        |word: &&str| word.matches('/').count() == 4 && word.starts_with(|c: char| c.is_ascii_digit());
    let status = line.split_whitespace().skip_while(|word| !timers(word)).nth(1).unwrap();
    match (verdict.code, verdict.error.as_deref()) {
        (Some(0), None) => assert_eq!(status, "200", "{line}"),
        (Some(403), None) => assert_eq!(status, "403", "{line}"),
        (None, Some("overload" | "timeout")) => assert_eq!(status, "503", "{line}"),
        other => panic!("{other:?} in {line}"),
    }
}

/// Sends so many HTTP requests a second, each on a connection of its own, every second one an attack. Gives for each
/// whether it was one, and the status of its response.
fn http_flood(haproxy: SocketAddr, rate: f64, time: Duration) -> Vec<(bool, u16)> {
    let count = (rate * time.as_secs_f64()) as usize;
    let (sender, receiver) = channel::<(bool, TcpStream)>();
    let receiver = Mutex::new(receiver);
    let read = || {
        let next = || receiver.lock().unwrap().recv().ok();
        std::iter::from_fn(next)
            .map(|(attack, mut stream)| (attack, read_response(&mut stream).status))
            .collect()
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..16).map(|_| scope.spawn(|| -> Vec<_> { read() })).collect();
        let start = Instant::now();
        for number in 0..count {
            // The pace itself.
            let due = start + Duration::from_secs_f64(number as f64 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Half of them, in no rhythm: every other one, and bursts in step with the throttle would leave one kind out.
            let attack = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1;
            let query = if attack { "bad" } else { "shoes" };
            let mut stream = TcpStream::connect(haproxy).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            write!(stream, "GET /?q={query} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
                .unwrap();
            sender.send((attack, stream)).unwrap();
        }
        drop(sender);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    })
}
