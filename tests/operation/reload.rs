//! Are rules read anew and log files reopened (SIGHUP) without a request that nobody inspected?

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::{SetAtEnd, wait_until};
use crate::support::wire::Value;

/// Rules that deny one word, and mark the transactions with another.
fn rules(word: &str, more: &str) -> String {
    format!(
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html\n\
         SecRule ARGS:q \"@streq {word}\" \"id:1,phase:1,deny,log\"\n\
         SecAction \"id:2,phase:1,pass,nolog,setvar:tx.word={word}\"\n\
         SecRule TX:word \"@streq one\" \"id:3,phase:3,deny,status:501,log\"\n{more}"
    )
}

struct Subject {
    agent: Agent,
    file: PathBuf,
    folder: tempfile::TempDir,
}

impl Subject {
    fn start(more: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.conf");
        fs::write(&file, rules("one", &more.replace("FOLDER", folder.path().to_str().unwrap()))).unwrap();
        let mut all = vec!["-f", file.to_str().unwrap()];
        all.extend(options);
        Self { agent: Agent::start(&all), file, folder }
    }

    /// Changes the rules and waits until the agent has read them.
    fn reload(&self, content: &str, said: &str) -> String {
        fs::write(&self.file, content).unwrap();
        let mark = self.agent.log.lines().len();
        self.agent.signal("HUP");
        self.agent.log.wait_for_after(mark, said, |line| line.contains(said))
    }
}

fn ask(link: &mut Link, word: &str) -> Ack {
    link.ask(&Message::get("/", Some(&format!("q={word}"))))
}

/// Asks until the answer is right: workers renew their engines between two jobs, in the order in which they come to it.
fn wait_for_code(link: &mut Link, word: &str, code: i64) {
    wait_until(&format!("code {code} for {word}"), || ask(link, word).code() == Some(code));
}

#[test]
fn new_rules_take_the_place_of_the_old() {
    let subject = Subject::start("", &["-n", "1"]);
    let mut link = subject.agent.link();
    assert_eq!((ask(&mut link, "one").code(), ask(&mut link, "two").code()), (Some(403), Some(0)));
    for generation in 2..6 {
        let word = format!("word{generation}");
        let line = subject.reload(&rules(&word, ""), " rules reloaded, ");
        assert_eq!(value(&line, "generation"), Some(generation.to_string().as_str()));
        wait_for_code(&mut link, &word, 403);
        assert_eq!(ask(&mut link, "one").code(), Some(0), "an old rule still holds");
    }
    // One zygote, its spare, one engine: the old ones are gone.
    wait_until("the end of the old engines", || subject.agent.helpers().len() == 3);
}

#[test]
fn rules_that_are_wrong_change_nothing() {
    for isolation in ["process", "thread"] {
        let subject = Subject::start("", &["--isolation", isolation]);
        let mut link = subject.agent.link();
        let line =
            subject.reload("SecRuleEngine On\nSecRulez nonsense\n", " cannot reload, the old rules stay");
        assert!(line.contains("rules.conf") && line.contains('2'), "{line}");
        assert_eq!((ask(&mut link, "one").code(), ask(&mut link, "two").code()), (Some(403), Some(0)));
        // And the next time they are right.
        let said = if isolation == "process" { " rules reloaded, " } else { " replacing the process" };
        subject.reload(&rules("two", ""), said);
        if isolation == "process" {
            wait_for_code(&mut link, "two", 403);
        }
    }
}

#[test]
fn no_request_is_left_out_while_rules_are_reloaded() {
    let always = "SecRule ARGS:q \"@streq always\" \"id:9,phase:1,deny,log\"\n";
    let subject = Subject::start(always, &["-n", "2"]);
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut link = subject.agent.link();
                while !over.load(Ordering::Relaxed) {
                    let ack = ask(&mut link, "always");
                    assert_eq!((ack.code(), ack.error()), (Some(403), None), "{ack:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _end = SetAtEnd(&over);
        for _ in 0..9 {
            subject.reload(&rules("one", always), " rules reloaded, ");
            let before = asked.load(Ordering::Relaxed);
            wait_until("requests with those rules", || asked.load(Ordering::Relaxed) > before + 50);
        }
    });
    println!("{} requests while the rules were reloaded 9 times", asked.into_inner());
}

#[test]
fn a_response_finds_the_transaction_that_began_before_the_reload() {
    let options = ["--responses", "100", "-n", "2", "--response-ttl", "3600s"];
    let subject = Subject::start("", &options);
    let mut link = subject.agent.link();
    let old: Vec<_> = (0..10).map(|_| ask(&mut link, "x")).collect();
    subject.reload(&rules("two", ""), " rules reloaded, ");
    wait_for_code(&mut link, "two", 403);
    for ack in &old {
        let answer = link.ask(&Message::response(ack, "a page"));
        assert_eq!(answer.get("lost"), Some(&Value::Bool(false)), "{answer:?}");
        assert_eq!(answer.code(), Some(501), "not by the rules of its request");
    }
    let new = ask(&mut link, "x");
    let answer = link.ask(&Message::response(&new, "a page"));
    assert_eq!((answer.code(), answer.get("lost")), (Some(0), Some(&Value::Bool(false))));
}

#[test]
fn many_reloads_keep_one_replaced_engine_and_finish_the_transactions_of_older_ones() {
    let audit = "SecAuditEngine On\nSecAuditLogFormat JSON\nSecAuditLogParts AHZ\nSecAuditLogType Serial\n\
                 SecAuditLog FOLDER/audit.log\n";
    let subject = Subject::start(audit, &["--responses", "1000", "-n", "1", "--response-ttl", "3600s"]);
    let log = subject.folder.path().join("audit.log");
    let content = fs::read_to_string(&subject.file).unwrap();
    let mut link = subject.agent.link();
    let mut last = None;
    let (reloads, each) = (12, 20);
    for _ in 0..reloads {
        last = (0..each).map(|_| ask(&mut link, "x")).last();
        let engines = subject.agent.engines();
        subject.reload(&content, " rules reloaded, ");
        wait_until("a new engine", || subject.agent.engines().iter().any(|engine| !engines.contains(engine)));
    }
    // Two zygotes with their spares, and an engine of each.
    wait_until("the end of older engines and zygotes", || subject.agent.helpers().len() == 6);
    assert_eq!(records(&log), (reloads - 1) * each, "finished, all but those of the last replaced engine");
    let answer = link.ask(&Message::response(&last.unwrap(), "a page"));
    assert_eq!(answer.get("lost"), Some(&Value::Bool(false)), "{answer:?}");
}

#[test]
fn replaced_engines_end_when_nothing_can_wait_in_them() {
    let subject = Subject::start("", &["--responses", "100", "-n", "2", "--response-ttl", "500ms"]);
    let mut link = subject.agent.link();
    ask(&mut link, "x");
    subject.reload(&rules("two", ""), " rules reloaded, ");
    wait_until("one zygote, its spare and two engines", || subject.agent.helpers().len() == 4);
    wait_for_code(&mut link, "two", 403);
}

fn records(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// An audit log that is moved away as logrotate(8) does it.
fn rotate(isolation: &str) {
    let audit = "SecAuditEngine On\nSecAuditLogFormat JSON\nSecAuditLogParts AHZ\nSecAuditLogType Serial\n\
                 SecAuditLog FOLDER/audit.log\n";
    let subject = Subject::start(audit, &["-n", "2", "--isolation", isolation]);
    let (log, old) = (subject.folder.path().join("audit.log"), subject.folder.path().join("audit.log.1"));
    let mut link = subject.agent.link();
    for _ in 0..50 {
        ask(&mut link, "x");
    }
    fs::rename(&log, &old).unwrap();
    let said = if isolation == "process" { " rules reloaded, " } else { " replacing the process" };
    let content = fs::read_to_string(&subject.file).unwrap();
    subject.reload(&content, said);
    if isolation == "thread" {
        link = subject.agent.link();
    }
    let mut asked = 50;
    wait_until("a record in the new file", || {
        ask(&mut link, "x");
        asked += 1;
        records(&log) > 0
    });
    for _ in 0..50 {
        ask(&mut link, "x");
    }
    wait_until("all records", || records(&log) + records(&old) == asked + 50);
    assert!(records(&log) >= 51, "{} records in the new file", records(&log));
}

#[test]
fn an_audit_log_that_was_moved_away_is_opened_anew() {
    rotate("process");
}

#[test]
fn an_audit_log_that_was_moved_away_is_opened_anew_by_a_new_process_with_threads() {
    rotate("thread");
}

#[test]
fn with_threads_the_process_is_replaced_and_keeps_its_sockets() {
    let subject = Subject::start("", &["--isolation", "thread"]);
    let mut link = subject.agent.link();
    assert_eq!(ask(&mut link, "one").code(), Some(403));
    subject.reload(&rules("two", ""), " replacing the process");
    let mut link = subject.agent.link();
    assert_eq!((ask(&mut link, "two").code(), ask(&mut link, "one").code()), (Some(403), Some(0)));
}
