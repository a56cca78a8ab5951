//! Does a new process take over without a request that is not answered, and does one that cannot change nothing?

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::manager::Manager;
use crate::support::process::{AGENT, guarded, install};
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::{SetAtEnd, wait_until};
use crate::support::wire::{ACK, Value};

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny\"\n";

/// A process that no test may leave behind.
struct Ended(u32);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-KILL", &self.0.to_string()]).output();
    }
}

/// An agent whose program, rules, page and sockets are in a folder.
struct Subject {
    agent: Agent,
    folder: tempfile::TempDir,
    address: String,
}

impl Subject {
    fn start(options: &[&str], environment: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("rules.conf"), RULES).unwrap();
        fs::write(at("page.html"), "first").unwrap();
        let (program, unix) = (at("agent"), format!("unix:{}", at("agent.sock")));
        install(AGENT, &program);
        let mut command = guarded(&program);
        command.args(["-n", "1", "--deadline", "30s", "--listen", "127.0.0.1:0", "--listen", &unix]);
        command.args(["-f", &at("rules.conf"), "--block-page", &at("page.html")]).args(options);
        fs::write(at("options"), "").unwrap();
        command.args(["--options", &at("options")]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let agent = Agent::launch_command(command).ready();
        let address = agent.address().to_owned();
        Self { agent, folder, address }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts this program in the place of the agent's, as a package does it.
    fn replace_program(&self, by: &Path) {
        install(by, self.file("agent.new"));
        fs::rename(self.file("agent.new"), self.file("agent")).unwrap();
    }

    fn replace_program_by_script(&self, script: &str) {
        fs::write(self.file("script"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(self.file("script"), fs::Permissions::from_mode(0o755)).unwrap();
        self.replace_program(&self.file("script"));
    }

    /// Sends SIGUSR2 to this process; gives the new one when it is started.
    fn upgrade(&self, pid: u32) -> Ended {
        let mark = self.agent.log.lines().len();
        crate::support::process::signal(pid, "USR2");
        let line = self.agent.log.wait_for_after(mark, "an upgrade", |line| line.contains(" upgrading, "));
        Ended(value(&line, "process").unwrap().parse().unwrap())
    }

    fn taken_over(&self, times: usize) {
        wait_until("the new process", || {
            self.agent.log.lines_with(" taken over from the process before").len() == times
        });
    }

    /// The answer to a bad request, over each socket.
    fn answers(&self) -> Vec<Ack> {
        let unix = format!("unix:{}", self.file("agent.sock").display());
        let ask = |address: &String| {
            let mut link = Link::connect(address);
            link.shake_hands();
            link.ask(&Message::get("/", Some("q=bad")))
        };
        let acks: Vec<_> = [&self.address, &unix].into_iter().map(ask).collect();
        assert!(acks.iter().all(|ack| ack.code() == Some(403)), "{acks:?}");
        acks
    }
}

fn page(ack: &Ack) -> String {
    match ack.get("body") {
        Some(Value::Text(page)) => String::from_utf8(page.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Upgrades twice; the second time it is the new process that is replaced.
fn twice(isolation: &str) {
    let mut subject = Subject::start(&["--isolation", isolation], &[]);
    assert!(subject.answers().iter().all(|ack| page(ack) == "first"));
    fs::write(subject.file("page.html"), "second").unwrap();
    fs::write(subject.file("options"), "MODSECURITY_SPOA_QUEUE=77\n").unwrap();
    subject.replace_program(Path::new(AGENT));
    let first = subject.upgrade(subject.agent.pid());
    subject.taken_over(1);
    assert_eq!(subject.agent.wait().code(), Some(0), "the old process has ended in order");
    assert!(subject.answers().iter().all(|ack| page(ack) == "second"), "options are read anew");
    subject.agent.log.wait_for_text(" ready, workers: 1, queue: 77, ");
    let second = subject.upgrade(first.0);
    subject.taken_over(2);
    assert!(subject.answers().iter().all(|ack| page(ack) == "second"));
    crate::support::process::signal(second.0, "TERM");
    let log = subject.agent.log.wait_for_end();
    assert!(!subject.file("agent.sock").exists(), "the last one removes its socket");
    assert_eq!(
        log.iter().filter(|line| line.contains(" stopped")).count(),
        3 + 3,
        "each, and its worker: {log:#?}"
    );
}

#[test]
fn a_new_process_takes_over_and_is_replaced_itself() {
    twice("process");
}

#[test]
fn a_new_process_takes_over_with_threads_too() {
    twice("thread");
}

#[test]
fn requests_are_answered_meanwhile() {
    let subject = Subject::start(&[], &[]);
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let ask = || {
        let mut link = Link::connect(&subject.address);
        link.shake_hands();
        for number in 0.. {
            let query = if number % 2 == 0 { "q=bad" } else { "q=good" };
            link.send(&Message::get("/", Some(query)).notify(number, 1));
            let mut frame = link.expect();
            if frame.kind != ACK {
                // The old process goes, and had not read it.
                link = Link::connect(&subject.address);
                link.shake_hands();
                link.send(&Message::get("/", Some(query)).notify(number, 1));
                frame = link.expect();
            }
            let ack = Ack::read(&frame);
            assert_eq!(ack.code(), Some(if number % 2 == 0 { 403 } else { 0 }), "{ack:?}");
            asked.fetch_add(1, Ordering::Relaxed);
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
    };
    let mut processes = Vec::new();
    thread::scope(|scope| {
        let _end = SetAtEnd(&over);
        for _ in 0..4 {
            scope.spawn(ask);
        }
        let mut pid = subject.agent.pid();
        for round in 1..=4 {
            let before = asked.load(Ordering::Relaxed);
            wait_until("requests", || asked.load(Ordering::Relaxed) > before + 50);
            if round < 4 {
                let heir = subject.upgrade(pid);
                pid = heir.0;
                processes.push(heir);
                subject.taken_over(round);
            }
        }
    });
    println!("{} requests during three upgrades", asked.into_inner());
}

#[test]
fn a_new_process_that_is_not_ready_changes_nothing() {
    let mut subject = Subject::start(&[], &[]);
    for (script, said) in [("exit 3", "exit status: 3"), ("kill -9 $$", "signal: 9")] {
        subject.replace_program_by_script(script);
        let mark = subject.agent.log.lines().len();
        let _heir = subject.upgrade(subject.agent.pid());
        let failed =
            |line: &str| line.contains(" cannot upgrade, this process goes on") && line.contains(said);
        subject.agent.log.wait_for_after(mark, said, failed);
        assert_eq!(subject.answers().len(), 2);
    }
    // It cannot even be started.
    fs::remove_file(subject.file("agent")).unwrap();
    let mark = subject.agent.log.lines().len();
    subject.agent.signal("USR2");
    subject.agent.log.wait_for_after(mark, "a failure", |line| line.contains("it cannot be started"));
    // The program is right, and its rules are wrong.
    subject.replace_program(Path::new(AGENT));
    fs::write(subject.file("rules.conf"), "SecRulez\n").unwrap();
    let mark = subject.agent.log.lines().len();
    let _heir = subject.upgrade(subject.agent.pid());
    subject.agent.log.wait_for_after(mark, "a failure", |line| line.contains("exit status: 1"));
    assert!(subject.agent.runs());
    assert_eq!(subject.answers().len(), 2);
    // And now all is right.
    fs::write(subject.file("rules.conf"), RULES).unwrap();
    let heir = subject.upgrade(subject.agent.pid());
    subject.taken_over(1);
    assert_eq!(subject.agent.wait().code(), Some(0));
    assert_eq!(subject.answers().len(), 2);
    drop(heir);
}

#[test]
fn a_stop_ends_the_new_process_too() {
    let mut subject = Subject::start(&[], &[]);
    subject.replace_program_by_script("exec sleep 1000");
    let heir = subject.upgrade(subject.agent.pid());
    let mark = subject.agent.log.lines().len();
    subject.agent.signal("USR2");
    subject.agent.log.wait_for_after(mark, "a refusal", |line| line.contains("WARN not upgrading, "));
    assert_eq!(subject.answers().len(), 2);
    subject.agent.signal("TERM");
    assert_eq!(subject.agent.wait().code(), Some(0));
    wait_until("the end of the new process", || !Path::new(&format!("/proc/{}", heir.0)).exists());
    assert!(!subject.file("agent.sock").exists());
}

#[test]
fn the_manager_learns_of_the_new_process() {
    let manager = Manager::default();
    let subject = Subject::start(&[], &manager.environment());
    manager.wait_for("READY=1");
    let heir = subject.upgrade(subject.agent.pid());
    // The old one says who is next, and then the next one speaks.
    assert!(manager.wait_for(&format!("MAINPID={}", heir.0)).contains(&"READY=1".to_owned()));
    manager.wait_for("READY=1");
    crate::support::process::signal(heir.0, "TERM");
    manager.wait_for("STOPPING=1");
}
