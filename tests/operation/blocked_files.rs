//! Do files that never come hold up nothing for ever: neither a start, nor `--check`, nor the reload after the next?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::agent::{Agent, rule_file};
use crate::support::process::run;
use crate::support::spop::Message;
use crate::support::waiting::wait_until;

const RULES: &str =
    "SecRuleEngine On\nSecRequestBodyAccess On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny\"\n";

/// How long loading may stand still.
const LIMIT: Duration = Duration::from_secs(10);

/// A FIFO to which nobody writes: whoever opens it waits.
fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// A rule with a list that the engine reads itself.
fn waits_in_the_engine(fifo: &Path) -> String {
    format!("{RULES}SecRule ARGS \"@pmFromFile {}\" \"id:2,phase:1,deny\"\n", fifo.display())
}

#[test]
fn a_rule_file_that_is_a_fifo_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = fifo(folder.path());
    let name = fifo.to_str().unwrap();
    let including = folder.path().join("including.conf");
    fs::write(&including, format!("{RULES}Include {name}\n")).unwrap();
    for file in [name, including.to_str().unwrap()] {
        for options in [&["--check", "-f", file][..], &["--listen", "127.0.0.1:0", "-f", file]] {
            let start = Instant::now();
            let output = run(options, &[]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{options:?}: {said}");
            assert!(
                said.contains(name) && said.contains("FIFO") && start.elapsed() < LIMIT,
                "{options:?}: {said}"
            );
        }
    }
    for isolation in ["process", "thread"] {
        fs::write(&including, RULES).unwrap();
        let agent = Agent::start(&["-f", including.to_str().unwrap(), "--isolation", isolation]);
        fs::write(&including, format!("{RULES}Include {name}\n")).unwrap();
        agent.signal("HUP");
        assert!(agent.log.wait_for_text(" cannot reload, the old rules stay").contains(name));
    }
}

#[test]
fn a_start_that_waits_for_a_file_is_given_up() {
    let (folder, rules) = rule_file(RULES);
    fs::write(&rules, waits_in_the_engine(&fifo(folder.path()))).unwrap();
    let file = rules.to_str().unwrap();
    let given_up = |options: &[&str]| {
        let output = run(&[options, &["-f", file]].concat(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{options:?}: {said}");
        assert!(said.contains("has stood still") && said.contains(file), "{options:?}: {said}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| given_up(&["--check"]));
        scope.spawn(|| given_up(&["--listen", "127.0.0.1:0"]));
        scope.spawn(|| given_up(&["--listen", "127.0.0.1:0", "--isolation", "thread"]));
    });
}

fn reload_that_waits(isolation: &str, reloaded: &str) {
    let (folder, rules) = rule_file(RULES);
    let agent = Agent::start(&["-f", rules.to_str().unwrap(), "--isolation", isolation]);
    let helpers = agent.helpers().len();
    fs::write(&rules, waits_in_the_engine(&fifo(folder.path()))).unwrap();
    agent.signal("HUP");
    let line = agent.log.wait_for_text(" cannot reload, the old rules stay");
    assert!(line.contains("has stood still") && line.contains(rules.to_str().unwrap()), "{line}");
    assert_eq!(agent.link().ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
    wait_until("the end of who waited", || agent.helpers().len() == helpers);
    fs::write(&rules, RULES.replace("bad", "worse")).unwrap();
    agent.signal("HUP");
    agent.log.wait_for_text(reloaded);
    wait_until("the new rules", || agent.link().ask(&Message::get("/", Some("q=worse"))).code() == Some(403));
}

#[test]
fn a_reload_that_waits_for_a_file_is_given_up_and_the_next_works() {
    reload_that_waits("process", " rules reloaded, ");
}

#[test]
fn a_reload_that_waits_for_a_file_is_given_up_and_the_next_works_with_threads() {
    reload_that_waits("thread", " replacing the process");
}
