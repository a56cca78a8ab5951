//! Does the agent stay whole over many requests: no error, no lost request, no growing memory?

use crate::machine::shared;
use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::client::read_response;
use crate::support::site::Site;
use crate::support::spop::{Link, Message};
use crate::support::wire::{Value, headers, text};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

const CLEAN: &str = "GET /?q=shoes HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
const ATTACK: &str =
    "GET /?id=1'%20OR%20'1'%3D'1 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
const FORM: &str = "POST / HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n\
    Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\ncomment=hello";

/// How many clients ask at a time, each on one connection.
const CLIENTS: usize = 4;

/// Sends this many requests, every fifth an attack and every fifth a form, and checks each answer.
fn ask(haproxy: SocketAddr, count: usize) {
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| ask_on_one_connection(haproxy, count / CLIENTS));
        }
    });
}

fn ask_on_one_connection(haproxy: SocketAddr, count: usize) {
    let mut stream = TcpStream::connect(haproxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in 0..count {
        let (request, expected) = match number % 5 {
            0 => (ATTACK, 403),
            1 => (FORM, 200),
            _ => (CLEAN, 200),
        };
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_response(&mut stream);
        assert_eq!(answer.status, expected, "request {number}: {answer:?}");
        // A denial in HAProxy ends the connection, as does an error.
        if answer.status != 200 {
            stream = TcpStream::connect(haproxy).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
    }
}

#[test]
fn ten_thousand_requests_are_answered_without_an_error_in_flat_memory() {
    let _machine = shared();
    let mut site = Site::new(Agent::start(&[]));
    ask(site.haproxy.v4, 2_000);
    let warm = site.agent.resident_kib();
    ask(site.haproxy.v4, 10_000);
    let end = site.agent.resident_kib();

    println!("resident memory: {warm} KiB after 2,000 requests, {end} KiB after 10,000 more");
    assert_eq!(site.haproxy.server_errors(), 0);
    assert!(site.agent.runs());
    let failures =
        |line: &String| line.contains(" ERRO ") || line.contains(" CRIT ") || line.contains("not inspected");
    assert!(
        !site.agent.log.lines().iter().any(failures),
        "{:#?}",
        site.agent.log.lines().iter().find(|l| failures(l))
    );
    // A leak of one transaction's smallest part (100 bytes a request) would already be 1,000 KiB.
    assert!(end < warm + 1_000, "resident memory grew from {warm} to {end} KiB over 10,000 requests");
}

/// A request of a mix, and the code of its answer. Each is another, so that nothing is known from one before, but as long as
/// its like.
fn one_of_a_mix(number: usize) -> (Message, i64) {
    let digits = format!("{number:07}");
    let post = |kind: &str, body: String| {
        let own = [("host", "shop.test"), ("user-agent", "test"), ("accept", "*/*"), ("content-type", kind)];
        let message =
            Message::get("/basket", None).with("method", text("POST")).with("headers", headers(&own));
        message
            .with("body-size", Value::Int64(body.len() as i64))
            .with("body", Value::Binary(body.into_bytes()))
    };
    let words = format!("some words of customer {digits} ").repeat(1 + number % 40);
    match number % 20 {
        0 | 1 => (Message::get("/", Some(&format!("id={digits}'%20OR%20'1'%3D'1"))), 403),
        2..=4 => {
            let form = format!("name=n{digits}&comment={}", words.replace(' ', "+"));
            (post("application/x-www-form-urlencoded", form), 0)
        }
        5 => (post("application/json", format!("{{\"name\": \"{digits}\", \"comment\": \"{words}\"}}")), 0),
        _ => (Message::get("/goods", Some(&format!("q=shoes{digits}&page={}", number % 7))), 0),
    }
}

/// Sends this many requests to the one engine of an agent, and others before, and looks at its memory and at the front's.
/// The first fill what malloc(3) keeps: 128 blocks of each size (as the zygote tells it), some of which few requests need.
fn endure(agent: &Agent, before: usize, count: usize) {
    let engine = agent.engines()[0];
    let mut link: Link = agent.link();
    let mut ask = |number| {
        let (message, code) = one_of_a_mix(number);
        let told = agent.log.count();
        let ack = link.ask(&message);
        assert_eq!((ack.code(), ack.error()), (Some(code), None), "request {number}: {ack:?}");
        if code != 0 {
            // Else what waits for the log is as much as the machine is busy, and the front's memory larger by that.
            let its = format!("id={number:07}");
            let is_its = |line: &str| line.contains(" request denied, ") && line.contains(&its);
            agent.log.wait_for_after(told, "the denial", is_its);
        }
    };
    let memory = || [Agent::own_kib(engine), Agent::own_kib(agent.pid())];
    (0..before).for_each(&mut ask);
    let warm = memory();
    for part in 1..=10 {
        (0..count / 10).for_each(|number| ask(before + part * count + number));
        let [engine, front] = memory();
        println!("after {} requests more: engine {engine} KiB, front {front} KiB", part * count / 10);
    }
    let end = memory();
    println!("engine and front: {warm:?} KiB after {before} requests, {end:?} KiB after {count} more");
    assert_eq!(agent.engines(), [engine], "it is not the same engine any more");
    for (end, warm) in end.iter().zip(warm) {
        // A leak of 8 bytes a request would already be 125 KiB.
        assert!(*end < warm + 100, "memory grew from {warm} to {end} KiB over {count} requests");
    }
}

/// Few rules: with many, the engine has megabytes of free memory from loading them, in which a leak does not show.
const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "@rx json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule ARGS "@rx some (words)" "id:2,phase:2,pass,log,capture,setvar:tx.score=+%{TX.1},msg:'%{MATCHED_VAR}'"
SecRule ARGS "@detectSQLi" "id:3,phase:2,deny,log,t:urlDecodeUni,t:lowercase,tag:'attack'"
"#;

#[test]
fn one_worker_stays_in_the_memory_that_it_has() {
    let _machine = shared();
    endure(&Agent::with_rules(RULES, &["-n", "1"]), 8_000, 16_000);
}

#[test]
#[ignore = "takes some minutes: cargo test --test load endurance -- --ignored --nocapture"]
fn one_worker_stays_in_the_memory_that_it_has_over_100_000_requests_with_the_core_rule_set() {
    let _machine = shared();
    endure(&Agent::start(&["-n", "1"]), 10_000, 100_000);
}

#[test]
fn ten_thousand_connections_leave_nothing_open() {
    let _machine = shared();
    let agent = Agent::with_rules("SecRuleEngine On\n", &[]);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    let visit = || {
        let mut link = agent.link();
        link.say_goodbye();
        assert_eq!(link.expect_farewell().code, 0);
    };
    (0..100).for_each(|_| visit());
    let (descriptors, memory) = (open(), agent.resident_kib());
    (0..10_000).for_each(|_| visit());
    assert!(open() <= descriptors + 5, "open files grew from {descriptors} to {}", open());
    let end = agent.resident_kib();
    assert!(end < memory + 2_000, "resident memory grew from {memory} to {end} KiB over 10,000 connections");
}
