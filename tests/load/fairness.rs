//! Does one client that sends slow requests leave the others what they need?

use crate::machine::alone;
use crate::subject::{self, Subject, faulty};
use crate::support::agent::Agent;
use crate::support::flood::{Fate, Outcome, Plan, TOLERANCE, flood};
use crate::support::log::value;
use crate::support::process::engine;
use crate::support::spop::Message;
use crate::support::wire::{Value, headers, text};
use std::collections::BTreeSet;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_millis(500);

/// The address of this client.
fn address(client: usize) -> Value {
    Value::Ipv4([198, 51, (client >> 8) as u8, client as u8])
}

/// A clean GET of this client.
fn clean(client: usize) -> Message {
    Message::get("/", Some("q=shoes")).with("src-ip", address(client))
}

/// A JSON document of 2.2 KB in which the Core Rule Set finds nothing and that keeps an engine busy for long: each of its
/// values is an argument that all rules look at.
fn heavy(client: Value) -> Message {
    let body = format!("[{}1]", "1,".repeat(980));
    let fields = headers(&[
        ("host", "shop.test"),
        ("user-agent", "curl/7.88.1"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("content-length", &body.len().to_string()),
    ]);
    Message::get("/", None)
        .with("src-ip", client)
        .with("method", text("POST"))
        .with("headers", fields)
        .with("body-size", Value::Int64(body.len() as i64))
        .with("body", Value::Binary(body.into_bytes()))
}

/// The share of the requests with these numbers that had a verdict within the deadline, in percent.
fn inspected(outcome: &Outcome, is_counted: impl Fn(usize) -> bool) -> usize {
    let counted: Vec<_> =
        outcome.fates.iter().enumerate().filter(|(number, _)| is_counted(*number)).collect();
    let good = counted.iter().filter(|(_, fate)| is_in_time(fate)).count();
    good * 100 / counted.len()
}

fn is_in_time(fate: &Fate) -> bool {
    let has_verdict = fate.answer.as_ref().is_some_and(|(_, ack)| ack.code() == Some(0));
    has_verdict && fate.latency().is_some_and(|latency| latency <= DEADLINE + TOLERANCE)
}

/// Slow requests of this client at `rate` a second, beside 50 clean ones a second from as many addresses; and then a burst
/// of clean ones from addresses that the agent does not know. The log names the client by `name`.
#[track_caller]
fn leaves_the_others_what_they_need(workers: &str, name: &str, flooder: impl Fn(usize) -> Value) {
    let _alone = alone();
    let agent = Agent::start(&["-n", workers, "--deadline", "500ms"]);
    // More than the engines can do: each takes about 130 ms on libmodsecurity and 35 ms on ModSecurity 2.9.
    let slow = if engine() == 2 { 150 } else { 40 };
    let all = slow + 50;
    // Evenly mixed.
    let is_slow = |number: usize| (number + 1) * slow / all > number * slow / all;
    let plan = Plan { rate: all as f64, time: Duration::from_secs(4), links: 8, deadline: DEADLINE };
    let message =
        |number: usize| if is_slow(number) { heavy(flooder(number)) } else { clean(1000 + number % 50) };
    println!("{}", Outcome::head());
    // Something else may take the machine for a while, and then nobody has what the engines could do.
    let is_fair = |attempt| {
        let outcome = flood(&agent, plan, message);
        println!("{}", outcome.row("flood"));
        let clean_ones = inspected(&outcome, |number| !is_slow(number));
        let slow_ones = inspected(&outcome, is_slow);
        println!(
            "attempt {attempt}: {clean_ones} % of the clean ones inspected, {slow_ones} % of the slow ones"
        );
        clean_ones >= 90 && slow_ones > 0
    };
    assert!((1..=5).any(is_fair), "who sends slow requests takes the service of the others, or gets none");

    // The memory of the flood refuses nobody. A machine on which a clean request takes long may, and not for long.
    let is_admitted = |attempt: usize| {
        let plan = Plan { rate: 20_000.0, time: Duration::from_millis(2), ..plan };
        let burst = flood(&agent, plan, |number| clean(5000 + 100 * attempt + number));
        println!("{}", burst.row("burst"));
        assert_eq!(burst.fates.len(), 40);
        !burst.kinds().contains_key("overload")
    };
    assert!((1..=3).any(is_admitted), "a burst after the flood is refused");

    let (_, log) = agent.stop();
    let refused = log.iter().filter(|line| line.contains("cause: fairness: "));
    let clients: BTreeSet<_> = refused.map(|line| value(line, "client").unwrap()).collect();
    assert!(!clients.is_empty(), "{log:#?}");
    assert!(clients.iter().all(|client| client.starts_with(name)), "{clients:?}");
}

/// Requests of one client that keep engines busy, or standing still, until they are ended: 50 a second, six times what four
/// workers can take, beside 100 clean ones of others. What it costs to learn that is the first half second: until the first
/// engines are ended, the time of these requests is not known.
#[test]
fn six_times_what_engines_can_take_of_requests_that_end_at_the_limit_leaves_the_others_what_they_need() {
    const FIRST_SECOND: usize = 150;
    let _alone = alone();
    let is_faulty = |number: usize| number % 3 == 1;
    let plan = Plan { rate: FIRST_SECOND as f64, time: Duration::from_secs(5), links: 8, deadline: DEADLINE };
    for fault in ["spin", "stop"] {
        let subject = Subject::with_options(&["-n", "4", "--deadline", "500ms", "--stall-limit", "500ms"]);
        let message = |number: usize| match number as u64 {
            id if is_faulty(number) => faulty(fault, id),
            id => subject::clean(id).with("src-ip", address(number % 50)),
        };
        println!("{fault}\n{}", Outcome::head());
        let is_fair = |attempt| {
            let outcome = flood(&subject.agent, plan, message);
            println!("{}", outcome.row("endless"));
            let all = inspected(&outcome, |number| !is_faulty(number));
            let later = inspected(&outcome, |number| !is_faulty(number) && number >= FIRST_SECOND);
            println!(
                "attempt {attempt}: {all} % of the clean ones inspected, {later} % after the first second"
            );
            all >= 85 && later >= 99
        };
        assert!((1..=5).any(is_fair), "{fault}: who keeps engines takes the service of the others");
    }
}

/// Three requests a second of one client that keep an engine busy until it is ended, beside 50 clean ones of others.
#[test]
fn requests_that_end_at_the_limit_leave_the_others_what_they_need() {
    let _alone = alone();
    let subject = Subject::with_options(&["-n", "2", "--deadline", "500ms"]);
    let is_endless = |number: usize| number % 18 == 9;
    let plan = Plan { rate: 53.0, time: Duration::from_secs(5), links: 8, deadline: DEADLINE };
    let message = |number: usize| match number as u64 {
        id if is_endless(number) => faulty("spin", id),
        id => subject::clean(id).with("src-ip", address(number % 50)),
    };
    let is_fair = |attempt| {
        let outcome = flood(&subject.agent, plan, message);
        println!("{}", outcome.row("endless"));
        let good = inspected(&outcome, |number| !is_endless(number));
        println!("attempt {attempt}: {good} % of the clean ones inspected");
        good >= 90
    };
    assert!((1..=5).any(is_fair), "who keeps engines busy takes the service of the others");
}

#[test]
fn an_address_with_slow_requests_leaves_the_others_what_they_need() {
    let client = [203, 0, 113, 9];
    leaves_the_others_what_they_need("2", "203.0.113.9:", |_| Value::Ipv4(client));
}

#[test]
fn so_does_a_network_of_ipv6_when_there_are_more_workers_than_cores() {
    let client = |number: usize| {
        let mut address = [0x20, 0x01, 0x0D, 0xB8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
        address[8..].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        Value::Ipv6(address)
    };
    leaves_the_others_what_they_need("5", "[2001:db8:1:2:", client);
}
