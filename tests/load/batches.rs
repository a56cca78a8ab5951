//! What does a request feel of those that its engine has together with it? Cheap requests that arrive faster than they can
//! be inspected are handed to an engine several at a time.
//!
//! Each test has the machine alone: beside another, requests are not cheap.

use crate::machine::alone;
use crate::subject::{Subject, clean, faulty};
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::comes_true;
use std::time::Duration;

/// Requests that are sent at a time.
const VOLLEY: u64 = 200;

/// How long to wait for a quiet moment: on a busy machine requests are not cheap.
const LONG: Duration = Duration::from_secs(60);

/// Sends requests all at once; gives their answers in the order in which they come, each with the place of its request.
fn volley(link: &mut Link, requests: &[Message]) -> Vec<(usize, Ack)> {
    let frames = requests.iter().enumerate();
    let frames: Vec<u8> =
        frames.flat_map(|(place, request)| request.notify(place as u64 + 1, 1).encode()).collect();
    link.send_bytes(&frames);
    requests.iter().map(|_| link.expect_ack()).map(|ack| (ack.stream as usize - 1, ack)).collect()
}

/// Clean requests, none like another.
fn clean_ones(round: u64) -> Vec<Message> {
    (0..VOLLEY).map(|at| clean(round * VOLLEY + at)).collect()
}

/// How often the engines of this agent have slept.
fn sleeps(subject: &Subject) -> u64 {
    let sleeps = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    subject.agent.engines().into_iter().map(sleeps).sum()
}

/// Sends clean requests until the engines get several at a time.
fn warm_up(subject: &Subject, link: &mut Link, round: &mut u64) {
    let together = comes_true(LONG, || {
        let before = sleeps(subject);
        for (place, ack) in volley(link, &clean_ones(*round)) {
            assert_eq!((ack.code(), ack.error()), (Some(0), None), "{place}");
        }
        *round += 1;
        // One that gets them one by one sleeps after each.
        sleeps(subject).saturating_sub(before) < VOLLEY / 2
    });
    assert!(together, "engines get one request at a time");
}

#[test]
fn a_crash_costs_none_of_those_that_the_engine_has_together_with_it() {
    let _alone = alone();
    let subject = Subject::with_options(&["-n", "1", "--deadline", "30s"]);
    let (mut link, mut round) = (subject.agent.link(), 0);
    for (crashes, kind) in ["null", "abort", "free", "exit", "stack"].into_iter().enumerate() {
        warm_up(&subject, &mut link, &mut round);
        let mut requests = clean_ones(round);
        let bad = VOLLEY as usize / 2 + crashes;
        requests[bad] = faulty(kind, round);
        round += 1;
        for (place, ack) in volley(&mut link, &requests) {
            let due = if place == bad { (None, Some("crash")) } else { (Some(0), None) };
            assert_eq!((ack.code(), ack.error()), due, "request {place}, {kind} at {bad}");
        }
        subject.expect_restarts(crashes + 1);
    }
}

#[test]
fn a_request_that_hangs_keeps_nobody_waiting_whom_another_engine_can_serve() {
    let _alone = alone();
    let subject = Subject::with_options(&["-n", "2", "--deadline", "30s", "--engine-limit", "500ms"]);
    let (mut link, mut round) = (subject.agent.link(), 0);
    for hangs in 1..=3 {
        warm_up(&subject, &mut link, &mut round);
        let mut requests = clean_ones(round);
        let bad = VOLLEY as usize / 2;
        requests[bad] = faulty("spin", round);
        round += 1;
        let answers = volley(&mut link, &requests);
        let (last, others) = answers.split_last().unwrap();
        assert_eq!((last.0, last.1.error()), (bad, Some("timeout")), "the last answer");
        assert!(others.iter().all(|(_, ack)| (ack.code(), ack.error()) == (Some(0), None)));
        subject.expect_restarts(hangs);
    }
}
