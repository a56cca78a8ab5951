//! Who pays for the end of an engine: the request that caused it, if one did, and nobody else.

use crate::load::send_popular_during;
use crate::subject::{Subject, clean, faulty};
use crate::support::flood::{Plan, flood};
use crate::support::log::value;
use crate::support::process::engine;
use crate::support::spop::Message;
use crate::support::waiting::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What everybody asks for.
fn popular() -> Message {
    Message::get("/", None)
}

/// At once, while a `kill` of the shell would take milliseconds. An engine may have ended meanwhile, by the kill before.
fn kill_now(pid: u32) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
}

/// As the kernel does when memory is short: nobody's request is to blame for that. Two engines, then the zygote, and so on.
#[test]
fn a_popular_request_is_inspected_within_100_ms_of_each_kill() {
    let subject = Subject::start();
    let mut kills = Vec::new();
    let outcomes = send_popular_during(&subject, &popular(), |load| {
        for round in 0..50 {
            // Not always the same two.
            let victims = [round % 4, (round + 1 + round / 4 % 3) % 4].map(|at| subject.engine(at + 1).pid);
            victims.into_iter().for_each(kill_now);
            kills.push(Instant::now());
            load.wait_for_more(20);
            // Without its spare a zygote would have to load the rules anew.
            let (zygote, spare) = (subject.zygote().pid, subject.spare().pid);
            kill_now(zygote);
            kills.push(Instant::now());
            wait_until("the spare in its place", || subject.zygotes().iter().any(|now| now.pid == spare));
            load.wait_for_more(20);
        }
    });
    let waits: Vec<_> = kills.iter().map(|kill| outcomes.first_verdict_after(*kill)).collect();
    let of = |what| waits.iter().skip(what).step_by(2).max().unwrap();
    let kinds = outcomes.kinds();
    println!("{kinds:?}; longest wait for a verdict: {:?} after engines, {:?} after zygotes", of(0), of(1));
    assert_eq!(kinds.get("quarantine"), None, "{kinds:?}");
    assert!(waits.iter().all(|wait| *wait < Duration::from_millis(100)), "{waits:?}");
    // Of each engine at most what it was at.
    outcomes.expect_right_but_for(50 * (2 + 4), "crash");
}

#[test]
fn late_damage_is_blamed_on_no_other_request() {
    let subject = Subject::with_options(&["--deadline", "10s", "-n", "1"]);
    let mut link = subject.agent.link();
    for round in 0..5 {
        assert_eq!(link.ask(&faulty("late", round)).code(), Some(0));
        assert_eq!(link.ask(&popular()).error(), Some("crash"), "its engine was damaged");
        assert_eq!(link.ask(&faulty("late", 100 + round)).code(), Some(0));
        assert_eq!(link.ask(&popular()).code(), Some(0), "in a fresh engine");
    }
    assert_eq!(subject.crashes().len(), 5);
}

/// Each trial in a fresh engine leaves one behind with its transactions: one at a time for each worker.
#[test]
fn trials_pile_up_no_engines() {
    let subject = Subject::with_options(&["--deadline", "10s", "-n", "2", "--responses", "100"]);
    let mut link = subject.agent.link();
    let mut most = 0;
    for round in 0..60 {
        let errors = [faulty("late", round), popular(), popular(), popular(), clean(round)].map(|message| {
            let ack = link.ask(&message);
            ack.error().map(str::to_owned)
        });
        assert!(errors.iter().flatten().all(|error| error == "crash"), "{errors:?}");
        most = most.max(subject.engines().len());
    }
    println!("{most} engines at most");
    assert!(most <= 4, "{most} engines");
}

#[test]
fn a_transaction_that_kills_its_engine_at_its_end_costs_no_other_request() {
    if engine() == 2 {
        println!("the fault at the end of a transaction is for libmodsecurity 3");
        return;
    }
    let subject = Subject::with_options(&["--deadline", "10s", "-n", "1", "--responses", "4"]);
    let mut link = subject.agent.link();
    for round in 0..5 {
        assert_eq!(link.ask(&faulty("finish", round)).code(), Some(0));
        // The fourth of these needs its room.
        for number in 0..8 {
            let ack = link.ask(&popular());
            assert_eq!(ack.code(), Some(0), "round {round}, {number}: {ack:?}");
        }
    }
    let crashes = subject.crashes();
    assert_eq!(crashes.len(), 5, "{crashes:#?}");
    assert!(crashes.iter().all(|line| line.contains("request: none")), "{crashes:#?}");
}

#[test]
fn an_engine_that_stands_still_blames_nobody() {
    let subject = Subject::with_options(&["--deadline", "10s", "--engine-limit", "100ms"]);
    let mut link = subject.agent.link();
    for round in 0..5 {
        let ack = link.ask(&faulty("stop", 1));
        assert_eq!(ack.error(), Some("timeout"), "round {round}: {ack:?}");
    }
}

#[test]
fn a_request_sent_to_an_engine_that_died_idle_is_inspected_by_another() {
    let subject = Subject::with_options(&["--deadline", "10s", "-n", "1"]);
    let mut link = subject.agent.link();
    for round in 0..40 {
        let engine = subject.engine(1).pid;
        kill_now(engine);
        let ack = link.ask(&popular());
        assert_eq!(ack.code(), Some(0), "round {round}: {ack:?}");
        wait_until("another engine", || subject.engine(1).pid != engine);
    }
    let crashes = subject.crashes();
    assert!(crashes.iter().all(|line| line.contains("request: none")), "{crashes:#?}");
}

#[test]
fn a_request_that_hangs_its_engine_is_held_like_one_that_crashes_it() {
    let subject = Subject::with_options(&["--deadline", "10s", "--engine-limit", "100ms"]);
    let mut link = subject.agent.link();
    let errors = [(); 3].map(|()| link.ask(&faulty("spin", 1)).error().map(str::to_owned));
    assert_eq!(errors.map(Option::unwrap), ["timeout", "timeout", "quarantine"]);
    assert_eq!(link.ask(&popular()).code(), Some(0));
}

/// Requests a second, and for how long: of three requests one is faulty.
const RATE: f64 = 150.0;
const TIME: Duration = Duration::from_secs(4);

/// How often each is tried: the machine may have other things to do.
const TRIES: u64 = 3;

/// What does not crash (`spin`, `stop`) is not here: each takes an engine for as long as it may, and 50 of those a second take
/// all of them. That is a matter of who gets how much of the engines' time.
#[test]
fn fifty_faults_a_second_leave_the_requests_beside_them_alone() {
    let own = if engine() == 2 { "drop" } else { "throw" };
    let kinds = ["null", "abort", "stack", "free", "malloc-lock", "audit-lock", "exit", own];
    println!(
        "{:>12} {:>6} {:>10} {:>10} {:>10}  faulty ones",
        "fault", "clean", "inspected", "median ms", "longest ms"
    );
    // One agent for all of them: what delays a restart may only show after hundreds of crashes. With a deadline that no request
    // misses because the machine is busy.
    let subject = Subject::with_options(&["--deadline", "10s"]);
    let is_poor = |kind: &&str| (0..TRIES).all(|attempt| share_beside(&subject, kind, attempt) < 99.0);
    let poor: Vec<_> = kinds.into_iter().filter(is_poor).collect();
    assert!(poor.is_empty(), "less than 99 % of the clean requests inspected beside {poor:?}");
    let crashes = subject.crashes();
    assert!(crashes.len() > 1000, "{}", crashes.len());
    assert!(crashes.iter().all(|line| value(line, "restart_in_ms") == Some("0")), "{:?}", crashes.last());
}

/// Where hardly anybody else asks, an attacker makes engines die without a verdict in between: nothing that the agent does about
/// that (rebuilds, health checks) may cost those few.
#[test]
fn fifty_faults_a_second_leave_the_few_requests_of_a_quiet_site_alone() {
    let subject = Subject::with_options(&["--deadline", "5s"]);
    let time = Duration::from_secs(12);
    let plan = Plan { rate: 50.0, time, links: 4, deadline: Duration::from_secs(5) };
    // One every four seconds.
    let is_clean = |number: usize| number % 200 == 199;
    let outcome = flood(&subject.agent, plan, |number| {
        if is_clean(number) { clean(number as u64) } else { faulty("null", number as u64) }
    });
    for (number, fate) in outcome.fates.iter().enumerate().filter(|(number, _)| is_clean(*number)) {
        let ack = &fate.answer.as_ref().expect("an answer").1;
        assert_eq!(ack.code(), Some(0), "{number}: {ack:?}");
    }
    assert!(subject.crashes().len() > 500);
}

/// The share in percent of clean requests that are inspected beside faults of this kind, with a row for the table.
fn share_beside(subject: &Subject, kind: &str, attempt: u64) -> f64 {
    let plan = Plan { rate: RATE, time: TIME, links: 4, deadline: Duration::from_secs(10) };
    let is_faulty = |number: usize| number % 3 == 1;
    let outcome = flood(&subject.agent, plan, |number| {
        let message = attempt * 1_000_000 + number as u64;
        if is_faulty(number) { faulty(kind, message) } else { clean(message) }
    });
    let (mut inspected, mut all, mut waits, mut faults) = (0_u32, 0_u32, Vec::new(), BTreeMap::new());
    for (number, fate) in outcome.fates.iter().enumerate() {
        let ack = fate.answer.as_ref().map(|(_, ack)| ack);
        let error = ack.map_or("no answer", |ack| ack.error().unwrap_or("verdict"));
        if is_faulty(number) {
            *faults.entry(error).or_insert(0) += 1;
            continue;
        }
        assert_ne!(error, "quarantine", "{kind}: request {number}");
        all += 1;
        inspected += u32::from(ack.is_some_and(|ack| ack.code() == Some(0)));
        waits.extend(fate.latency());
    }
    waits.sort();
    let share = f64::from(inspected) / f64::from(all) * 100.0;
    let ms = |wait: Duration| wait.as_secs_f64() * 1000.0;
    let (median, longest) = (ms(waits[waits.len() / 2]), ms(*waits.last().unwrap()));
    println!("{kind:>12} {all:>6} {share:>9.1}% {median:>10.1} {longest:>10.1}  {faults:?}");
    share
}
