//! Does the agent survive its engine? Real faults in real engines, processes killed from outside, and nobody else's
//! request is touched.

use crate::census::{Census, Process};
use crate::load::{mix, send, send_during};
use crate::subject::{Subject, WORKERS, attack, clean, faulty};
use crate::support::haproxy::Haproxy;
use crate::support::log::value;
use crate::support::process::{engine, signal};
use crate::support::spop::{Link, Message};
use crate::support::waiting::{comes_true, wait_until};
use crate::support::wire::{headers, text};
use std::time::{Duration, Instant};

/// Requests of each kind of fault, 120 of them faulty.
const REQUESTS: usize = 12_000;
const FAULTS: usize = 120;

/// Memory that a process may grow by: what the allocator keeps for a rainy day.
const GROWTH_KIB: u64 = 1_500;

/// Every fault kills the engine with this end, and nothing else happens to anybody.
#[track_caller]
fn is_survived(kind: &str, end: &str) -> Subject {
    let subject = Subject::start();
    let kinds = [(kind, "crash")];
    // What is allocated once is allocated now.
    send(&subject, mix(1_000_000, 1_000, 8, &kinds));
    subject.expect_restarts(8);
    let before = Census::take(&subject);

    let start = Instant::now();
    let outcomes = send(&subject, mix(0, REQUESTS, FAULTS, &kinds));
    println!("{kind}: {REQUESTS} requests in {:?}", start.elapsed());
    outcomes.expect_right();
    outcomes.expect_waits_below(Duration::from_secs(1));
    subject.expect_restarts(8 + FAULTS);
    before.expect_no_growth(&subject, GROWTH_KIB);
    for line in subject.crashes() {
        let reason = value(&line, "reason").unwrap();
        assert!(reason.ends_with(&format!("ended: {end}")), "{line}");
    }
    subject
}

#[test]
fn writing_to_null_is_survived() {
    is_survived("null", "SIGSEGV");
}

#[test]
fn abort_is_survived() {
    is_survived("abort", "SIGABRT");
}

#[test]
fn a_stack_overflow_is_survived() {
    is_survived("stack", "SIGSEGV");
}

#[test]
fn freeing_twice_is_survived() {
    is_survived("free", "SIGABRT");
}

#[test]
fn death_with_the_lock_of_malloc_is_survived() {
    is_survived("malloc-lock", "SIGSEGV");
}

#[test]
fn an_exit_is_survived() {
    is_survived("exit", "exit status 3");
}

#[test]
fn death_with_the_lock_of_the_audit_log_is_survived() {
    let subject = is_survived("audit-lock", "SIGSEGV");
    // The warm-up's attacks among them.
    let attacks = subject.agent.log.lines_with(" request denied, ").len();
    assert_eq!(subject.audit_records(), attacks, "attacks in the audit log");
}

#[test]
fn a_drop_without_what_it_closes_is_survived() {
    if engine() == 2 {
        is_survived("drop", "SIGSEGV");
    } else {
        println!("libmodsecurity 3 closes nothing itself: its `drop` follows no pointer");
    }
}

#[test]
fn an_exception_costs_its_request_and_no_engine() {
    if engine() == 2 {
        println!("ModSecurity 2.9 is written in C: it throws nothing");
        return;
    }
    let subject = Subject::start();
    let helpers = subject.helpers();
    let outcomes = send(&subject, mix(0, REQUESTS, FAULTS, &[("throw", "engine")]));
    outcomes.expect_right();
    outcomes.expect_waits_below(Duration::from_secs(1));
    assert_eq!(subject.crashes(), Vec::<String>::new());
    assert!(helpers.iter().all(Process::runs), "{helpers:#?}");
    subject.agent.log.wait_for_text("thrown on purpose");
}

/// An engine that hangs is ended at the limit that this option sets, and everybody else goes on.
#[track_caller]
fn is_ended(kind: &str, option: &str, how: &str) {
    let subject = Subject::with_options(&["--deadline", "10s", option, "250ms"]);
    let before = Census::take(&subject);
    let outcomes = send(&subject, mix(0, 2_400, 12, &[(kind, "timeout")]));
    outcomes.expect_right();
    // Four can hang at a time, and a busy machine makes 250 ms long.
    outcomes.expect_waits_below(Duration::from_secs(3));
    subject.expect_restarts(12);
    before.expect_no_growth(&subject, GROWTH_KIB);
    for line in subject.crashes() {
        assert!(line.contains(how), "{line}");
    }
}

#[test]
fn an_endless_loop_is_ended_at_the_limit() {
    is_ended("spin", "--engine-limit", "of CPU, 250ms allowed");
}

#[test]
fn the_limit_is_the_deadline_if_nothing_else_is_said() {
    let subject = Subject::with_options(&["--deadline", "300ms"]);
    assert_eq!(subject.agent.link().ask(&faulty("spin", 1)).error(), Some("timeout"));
    subject.expect_restarts(1);
    assert!(subject.crashes()[0].contains("of CPU, 300ms allowed"), "{:?}", subject.crashes());

    let subject = Subject::with_options(&["--deadline", "300ms", "--engine-limit", "1s"]);
    subject.agent.log.wait_for_text(" engines may work on after the deadline");
}

#[test]
fn an_engine_that_stops_is_ended_at_the_limit() {
    is_ended("stop", "--stall-limit", "stood still for");
}

#[test]
fn a_request_that_crashes_engines_gets_two_and_no_third() {
    let subject = Subject::start();
    let mut link = subject.agent.link();
    // Not once: whoever asks again the moment the answer is there must not be faster than the quarantine.
    let rounds = 25;
    for round in 0..rounds {
        let bad = faulty("null", round);
        assert_eq!(link.ask(&bad).error(), Some("crash"), "{round}");
        assert_eq!(
            link.ask(&bad.clone().with("unique-id", text("another"))).error(),
            Some("crash"),
            "{round}"
        );
        let ack = link.ask(&bad);
        assert_eq!((ack.error(), ack.code()), (Some("quarantine"), None), "{round}");
        assert_eq!(link.ask(&clean(round)).code(), Some(0), "{round}");
    }
    let rounds = usize::try_from(rounds).unwrap();
    subject.expect_restarts(2 * rounds);
    let helpers = subject.helpers();
    for round in 0..rounds {
        assert_eq!(link.ask(&faulty("null", round as u64)).error(), Some("quarantine"));
    }
    assert_eq!(link.ask(&attack(1)).code(), Some(403));
    assert!(helpers.iter().all(Process::runs), "{helpers:#?}");
    assert_eq!(subject.agent.log.lines_with(" request quarantined, ").len(), rounds);
    assert_eq!(subject.crashes().len(), 2 * rounds);
}

#[test]
fn a_crowd_of_the_same_request_crashes_no_more_engines_than_there_are_at_once() {
    let subject = Subject::start();
    let mut link = subject.agent.link();
    let bad = faulty("null", 1);
    // All are admitted before the first has done any harm.
    (1..=100).for_each(|stream| link.send(&bad.notify(stream, 1)));
    let mut errors: Vec<_> = (1..=100).map(|_| link.expect_ack().error().map(str::to_owned)).collect();
    errors.retain(|error| error.as_deref() != Some("quarantine"));
    // One has crashed an engine; then each of the workers may have got it before the second has.
    assert!((2..=WORKERS + 1).contains(&errors.len()), "{} got an engine", errors.len());
    assert!(errors.iter().all(|error| error.as_deref() == Some("crash")), "{errors:?}");
    subject.expect_restarts(errors.len());
}

#[test]
fn engines_killed_from_outside_cost_at_most_the_request_in_each() {
    let subject = Subject::start();
    let outcomes = send_during(&subject, |load| {
        for (worker, name) in (1..).zip(["SEGV", "KILL", "ABRT", "BUS"]) {
            let engine = subject.engine(worker);
            signal(engine.pid, name);
            wait_until("the end of the engine", || !engine.runs());
            load.wait_for_more(300);
        }
    });
    outcomes.expect_right_but_for(4, "crash");
    outcomes.expect_waits_below(Duration::from_secs(1));
    subject.expect_restarts(4);
    for (worker, name) in (1..).zip(["SIGSEGV", "SIGKILL", "SIGABRT", "SIGBUS"]) {
        let about = |line: &String| value(line, "worker").unwrap() == format!("{worker}");
        let line = subject.crashes().into_iter().find(about).unwrap();
        assert!(value(&line, "reason").unwrap().ends_with(&format!("ended: {name}")), "{line}");
    }
}

#[test]
fn engines_stopped_from_outside_cost_at_most_the_request_in_each() {
    let subject = Subject::with_options(&["--deadline", "10s", "--stall-limit", "250ms"]);
    let outcomes = send_during(&subject, |load| {
        for worker in 1..=WORKERS {
            let engine = subject.engine(worker);
            signal(engine.pid, "STOP");
            wait_until("the end of the engine", || !engine.runs());
            load.wait_for_more(100);
        }
    });
    outcomes.expect_right_but_for(WORKERS, "timeout");
    outcomes.expect_waits_below(Duration::from_secs(2));
    subject.expect_restarts(WORKERS);
}

#[test]
fn a_killed_zygote_is_rebuilt() {
    let subject = Subject::start();
    let before = Census::take(&subject);
    let outcomes = send_during(&subject, |load| {
        for _ in 0..3 {
            let helpers = subject.helpers();
            signal(subject.zygote().pid, "KILL");
            wait_until("the end of the engines", || !helpers.iter().any(Process::runs));
            load.wait_for_more(300);
        }
    });
    outcomes.expect_right_but_for(3 * WORKERS, "crash");
    outcomes.expect_waits_below(Duration::from_secs(5));
    subject.expect_restarts(3 * WORKERS);
    let ended = subject.agent.log.lines_with(" zygote ended, ");
    assert_eq!(ended.len(), 3, "{ended:#?}");
    assert!(ended.iter().all(|line| value(line, "reason") == Some("\"SIGKILL\"")), "{ended:#?}");
    assert!(
        ended.iter().all(|line| value(line, "restart_in_ms").is_some_and(|ms| ms.parse::<u64>().is_ok())),
        "{ended:#?}"
    );
    assert!(subject.crashes().iter().any(|line| line.contains(" ended: its zygote died")));
    assert_eq!(subject.agent.log.lines_with(" spare zygote took over, ").len(), 3);
    before.expect_no_growth(&subject, GROWTH_KIB);
}

#[test]
fn an_engine_that_nobody_reaps_is_missed_all_the_same() {
    let subject = Subject::with_options(&["--deadline", "10s", "--stall-limit", "600s"]);
    let mut link = subject.agent.link();
    link.send(&faulty("stop", 1).notify(1, 1));
    let stopped = || subject.engines().into_iter().find(|engine| engine.state == 'T');
    wait_until("an engine is stopped", || stopped().is_some());
    let engine = stopped().unwrap();
    let zygote = subject.zygote().pid;
    signal(zygote, "STOP");
    signal(engine.pid, "KILL");
    let start = Instant::now();
    assert_eq!(link.expect_ack().error(), Some("crash"));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    signal(zygote, "CONT");
    subject.expect_restarts(1);
}

/// An agent with four engines: one spins, one is stopped, two have nothing to do. With the zygote and the engines.
fn agent_with_hanging_engines() -> (Subject, Link, Vec<Process>) {
    let subject =
        Subject::with_options(&["--deadline", "500ms", "--engine-limit", "600s", "--stall-limit", "600s"]);
    let mut link = subject.agent.link();
    for (stream, kind) in [(1, "spin"), (2, "stop")] {
        link.send(&faulty(kind, stream).notify(stream, 1));
    }
    let count = |state| subject.engines().iter().filter(|engine| engine.state == state).count();
    wait_until("one engine spins and one is stopped", || (count('R'), count('T')) == (1, 1));
    let helpers = subject.helpers();
    (subject, link, helpers)
}

#[test]
fn a_killed_agent_leaves_nothing_behind() {
    let (mut subject, _link, helpers) = agent_with_hanging_engines();
    subject.agent.signal("KILL");
    subject.agent.wait();
    let gone = comes_true(Duration::from_secs(1), || !helpers.iter().any(Process::runs));
    assert!(gone, "{:#?}", helpers.iter().filter(|helper| helper.runs()).collect::<Vec<_>>());
}

#[test]
fn an_agent_that_is_told_to_stop_leaves_nothing_behind() {
    let (mut subject, mut link, helpers) = agent_with_hanging_engines();
    subject.agent.signal("TERM");
    let mut acks: Vec<_> = (0..2).map(|_| link.expect_ack()).collect();
    acks.sort_by_key(|ack| ack.stream);
    assert!(acks.iter().all(|ack| ack.error() == Some("timeout")), "{acks:?}");
    assert_eq!(subject.agent.wait().code(), Some(0));
    let gone = comes_true(Duration::from_secs(1), || !helpers.iter().any(Process::runs));
    assert!(gone, "{:#?}", helpers.iter().filter(|helper| helper.runs()).collect::<Vec<_>>());
}

#[test]
fn an_idle_agent_that_is_told_to_stop_waits_for_its_engines() {
    let mut subject = Subject::start();
    let helpers = subject.helpers();
    subject.agent.signal("TERM");
    assert_eq!(subject.agent.wait().code(), Some(0));
    assert!(!helpers.iter().any(Process::runs), "{helpers:#?}");
}

#[test]
fn the_log_tells_the_story() {
    let subject = Subject::start();
    let mut link = subject.agent.link();
    let bad = Message::get("/a\"b", Some("item=7")).with("headers", headers(&[("x-fault", "abort")]));
    let ack = link.ask(&bad);
    assert_eq!(ack.error(), Some("crash"));
    subject.expect_restarts(1);

    let lines = subject.agent.log.lines();
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    let (lost, crashed) = (&lines[at(" request not inspected, ")], &lines[at(" worker crashed, ")]);
    let restarted = &lines[at(" worker restarted, ")];
    assert!(lost.contains(" WARN ") && crashed.contains(" ERRO ") && restarted.contains(" WARN "));
    assert!(at(" worker crashed, ") < at(" worker restarted, "));

    let id = ack.get("id").unwrap().str();
    assert_eq!(value(lost, "id"), Some(id), "{lost}");
    assert_eq!(value(lost, "error"), Some("crash"), "{lost}");
    let worker = value(crashed, "worker").unwrap();
    assert!(worker.parse::<usize>().is_ok_and(|worker| (1..=WORKERS).contains(&worker)), "{crashed}");
    assert_eq!(value(crashed, "generation"), Some("1"), "{crashed}");
    assert!(value(crashed, "reason").unwrap().ends_with(" ended: SIGABRT"), "{crashed}");
    assert!(crashed.contains(&format!("id={id} ")), "{crashed}");
    assert!(crashed.contains(r#" uri="/a\"b?item=7""#), "{crashed}");
    assert!(crashed.contains(", uptime_ms: "), "{crashed}");
    assert_eq!(value(restarted, "worker"), Some(worker), "{restarted}");
    assert_eq!(value(restarted, "generation"), Some("2"), "{restarted}");
    assert!(restarted.contains(", after_ms: "), "{restarted}");
}

#[test]
fn when_every_engine_dies_the_agent_says_so_and_comes_back() {
    let subject = Subject::with_options(&["--deadline", "1s"]);
    let mut link = subject.agent.link();
    assert!(subject.is_healthy());
    assert_eq!(link.ask(&clean(0)).code(), Some(0));
    subject.every_request_is_bad(true);
    let mut number = 0;
    let mut ask = || {
        number += 1;
        link.ask(&clean(number))
    };
    // It keeps trying, so an engine may run for a moment now and then: what is asked for is that a health check fails.
    wait_until("a health check fails", || {
        let ack = ask();
        assert_eq!((ack.code(), ack.error()), (None, Some("crash")));
        !subject.is_healthy()
    });
    let escalated = subject.agent.log.wait_for_text(" escalated");
    let down = subject.agent.log.wait_for_text(" down: ");
    assert!(escalated.contains(" ERRO ") && down.contains(" ERRO "));
    subject.agent.log.wait_for_text(" spare zygote took over, ");

    subject.every_request_is_bad(false);
    wait_until("health checks succeed again", || subject.is_healthy());
    wait_until("verdicts again", || ask().code() == Some(0));
    subject.agent.log.wait_for_text(" an engine runs again");
    let outcomes = send(&subject, mix(1_000_000, 1_000, 10, &[("null", "crash")]));
    outcomes.expect_right();
    assert_eq!(subject.helpers().len(), WORKERS + 1);
}

#[test]
fn behind_haproxy_a_crash_costs_one_response() {
    let subject = Subject::start();
    let haproxy = Haproxy::start(subject.agent.address());
    let kinds = ["null", "abort", "stack", "free", "malloc-lock", "audit-lock", "exit"];
    for (number, kind) in kinds.iter().enumerate() {
        let bad = haproxy.curl(&format!("/shop?item={number}"), &["-H", &format!("X-Fault: {kind}")]);
        let verdict = (bad.verdict.code, bad.verdict.error.as_deref());
        assert_eq!((bad.status, verdict), (503, (None, Some("crash"))), "{kind}: {bad:?}");
        haproxy.curl("/shop", &[]).assert_clean();
        haproxy.curl("/shop?attack=1", &[]).assert_denied();
    }
    subject.expect_restarts(kinds.len());
}

/// `SOAK=600 cargo test --release --test faults soak -- --nocapture`: all kinds of crashes for so many seconds.
#[test]
fn a_long_soak_leaves_everything_as_it_was() {
    let Some(seconds) = std::env::var("SOAK").ok().and_then(|text| text.parse().ok()) else { return };
    let kinds = ["null", "abort", "stack", "free", "malloc-lock", "audit-lock", "exit"];
    let kinds = kinds.map(|kind| (kind, "crash"));
    let subject = Subject::start();
    send(&subject, mix(u64::MAX / 2, REQUESTS, 20, &kinds));
    let (before, start) = (Census::take(&subject), Instant::now());
    let (mut requests, mut faults) = (0, 20);
    while start.elapsed() < Duration::from_secs(seconds) {
        let outcomes = send(&subject, mix(requests, REQUESTS, 20, &kinds));
        outcomes.expect_right();
        outcomes.expect_waits_below(Duration::from_secs(1));
        requests += REQUESTS as u64;
        faults += 20;
    }
    println!("{requests} requests and {} crashes in {:?}", faults - 20, start.elapsed());
    subject.expect_restarts(faults);
    before.expect_no_growth(&subject, 2 * GROWTH_KIB);
}
