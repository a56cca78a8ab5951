//! Does the log stay small under attack, and does it keep what matters?

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::support::agent::{Agent, launch, rule_file};
use crate::support::log::value;
use crate::support::process::{signal, wait};
use crate::support::spop::{Link, Message};
use crate::support::waiting::wait_until;

/// Two rules that match, and one that denies.
const RULES: &str = r#"SecRuleEngine On
SecRule ARGS:q "@contains a" "id:1,phase:1,pass,log,msg:'first'"
SecRule ARGS:q "@contains a" "id:2,phase:1,pass,log,msg:'second'"
SecRule ARGS:q "@contains attack" "id:3,phase:1,deny,log,msg:'third'"
"#;

/// What is logged of a request that is let through and of one that is denied: how many lines of each event.
fn lines_of(detail: &str) -> Vec<(String, Option<String>)> {
    let agent = Agent::with_rules(RULES, &["-n", "1", "--log-matches", detail]);
    let mut link = agent.link();
    assert_eq!(link.ask(&Message::get("/", Some("q=a"))).code(), Some(0));
    assert_eq!(link.ask(&Message::get("/", Some("q=attack"))).code(), Some(403));
    let lines = agent.stop().1;
    let events = lines.iter().filter(|line| line.contains("uri: "));
    events
        .map(|line| {
            let event = value(line, "event").unwrap().to_owned();
            (event, value(line, "rules").or(value(line, "rule")).map(str::to_owned))
        })
        .collect()
}

#[test]
fn matches_are_logged_in_full_by_their_ids_or_not_at_all() {
    let expected = |list: &[(&str, &str)]| -> Vec<_> {
        list.iter().map(|(event, rules)| ((*event).to_owned(), Some((*rules).to_owned()))).collect()
    };
    let denied = ("request_denied", "1,2,3");
    let matched = |rule| ("rule_matched", rule);
    assert_eq!(
        lines_of("full"),
        expected(&[matched("1"), matched("2"), denied, matched("1"), matched("2"), matched("3")])
    );
    assert_eq!(lines_of("ids"), expected(&[("rules_matched", "1,2"), denied]));
    assert_eq!(lines_of("none"), expected(&[denied]));
}

#[test]
fn what_is_above_the_limit_is_left_out_and_counted() {
    const REQUESTS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.log");
    let target = file.to_str().unwrap();
    let options =
        ["-n", "1", "--log-limit", "3", "--log-matches", "none", "--log", target, "--log", "stderr"];
    let agent = Agent::with_rules(RULES, &options);
    let mut link = agent.link();
    for _ in 0..REQUESTS {
        assert_eq!(link.ask(&Message::get("/", Some("q=attack"))).code(), Some(403));
    }
    // Each second with requests has three lines of them, and at its end, without any further event, a count.
    let sum = |lines: &[String]| {
        let count = lines
            .iter()
            .filter(|line| line.contains("left out, above --log-limit"))
            .map(|line| value(line, "records").unwrap().parse::<usize>().unwrap());
        (lines.iter().filter(|line| line.contains(" request denied, ")).count(), count.sum::<usize>())
    };
    let all = |lines: &[String]| {
        let (written, left_out) = sum(lines);
        written + left_out == REQUESTS
    };
    wait_until("the counts of both targets", || {
        let content = fs::read_to_string(&file).unwrap();
        all(&agent.log.lines()) && all(&content.lines().map(str::to_owned).collect::<Vec<_>>())
    });
    let (written, left_out) = sum(&agent.log.lines());
    assert!(left_out > 0 && written >= 3, "{written} written, {left_out} left out");
    // What is no traffic has no limit.
    for generation in 2..7 {
        signal(agent.engines()[0], "KILL");
        agent.log.wait_for("the restart", |line| {
            line.contains(" worker restarted, ") && line.contains(&format!("generation: {generation},"))
        });
    }
    assert_eq!(agent.log.lines_with(" worker crashed, ").len(), 5);
}

/// Nobody reads the log while requests are denied by thousands and engines die.
#[test]
fn a_flood_of_denials_hides_no_crash() {
    const CRASHES: usize = 3;
    // A denial and sixteen matches are written of each: more than a queue and a socket hold.
    const REQUESTS: usize = 1500;
    let rules: String = (10..40)
        .map(|id| {
            format!("SecRule ARGS:q \"@contains attack\" \"id:{id},phase:1,pass,log,msg:'one of many'\"\n")
        })
        .collect();
    let (folder, rules) =
        rule_file(&format!("SecRuleEngine On\n{rules}{}", &RULES["SecRuleEngine On\n".len()..]));
    let socket = folder.path().join("agent");
    let address = format!("unix:{}", socket.display());
    let (its, ours) = UnixStream::pair().unwrap();
    let options = [
        "--listen",
        &address,
        "-f",
        rules.to_str().unwrap(),
        "-n",
        "1",
        "--log-limit",
        "0",
        "--deadline",
        "30s",
    ];
    let mut agent = launch(&options, &[], OwnedFd::from(its));
    wait_until("the agent", || UnixStream::connect(&socket).is_ok());
    let mut link = Link::connect(&address);
    link.shake_hands();
    let attack = Message::get("/", Some("q=attack"));
    let engine = || Agent::engines_of(agent.id()).first().copied();
    for _ in 0..CRASHES {
        for _ in 0..REQUESTS / CRASHES {
            assert_eq!(link.ask(&attack).code(), Some(403));
        }
        let victim = engine().unwrap();
        signal(victim, "KILL");
        wait_until("another engine", || engine().is_some_and(|engine| engine != victim));
        wait_until("an answer", || link.ask(&Message::get("/", None)).code() == Some(0));
    }
    signal(agent.id(), "TERM");
    let lines: Vec<String> = BufReader::new(ours).lines().map(Result::unwrap).collect();
    assert_eq!(wait(&mut agent).code(), Some(0));
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count(" worker crashed, "), CRASHES);
    assert_eq!(count(" worker restarted, "), CRASHES);
    assert_eq!(count(" stopped, event: stopped"), 1, "{:#?}", lines.last());
    let dropped = lines.iter().filter(|line| line.contains("records of this log are dropped"));
    let dropped: usize = dropped.map(|line| value(line, "records").unwrap().parse::<usize>().unwrap()).sum();
    let written = count(" request denied, ") + count(" rule matched, ") + count(" more rules matched, ");
    assert!(dropped > 0, "the queue has held all {written}");
    assert_eq!(written + dropped, REQUESTS * 18);
}
