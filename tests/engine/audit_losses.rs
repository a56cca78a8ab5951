//! Is the operator told of audit records that cannot be written: before the start if that can be known, and when it
//! happens if not?

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Command;

use crate::support::agent::{Agent, rule_file};
use crate::support::log::value;
use crate::support::process::{engine, run};
use crate::support::spop::Message;
use crate::support::waiting::wait_until;

const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\nSecRule ARGS:q \"@streq bad\" \
                     \"id:1,phase:1,deny,log,auditlog\"\n";

/// With an audit record of each request.
fn with_audit(kind: &str, log: &Path, more: &str) -> String {
    let log = log.display();
    format!(
        "{RULES}SecAuditEngine On\nSecAuditLogParts ABHZ\nSecAuditLogType {kind}\nSecAuditLog {log}\n{more}"
    )
}

/// One request, which is answered whatever becomes of its record.
fn ask(agent: &Agent) {
    assert_eq!(agent.link().ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
}

/// Asks once and returns the warning of that.
fn told(agent: &Agent) -> String {
    ask(agent);
    let line = agent.log.wait_for_text(" audit records lost, ");
    assert!(line.contains(" WARN ") && value(&line, "records") == Some("1"), "{line}");
    // Traffic goes on, and one line is enough for a minute.
    for _ in 0..20 {
        ask(agent);
    }
    assert_eq!(agent.log.lines_with(" audit records lost, ").len(), 1);
    line
}

/// Files of these processes may not grow beyond this size from now on: what they append is refused as on a full disk.
fn limit(agent: &Agent, bytes: u64) {
    for pid in agent.helpers().into_iter().chain([agent.pid()]) {
        let arguments = ["--pid".to_owned(), pid.to_string(), format!("--fsize={bytes}")];
        assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
    }
}

#[test]
fn logs_that_cannot_be_written_are_refused_with_their_place() {
    let (folder, rules) = rule_file(RULES);
    let (nowhere, taken) = (folder.path().join("nowhere"), folder.path().join("taken"));
    File::create(&taken).unwrap();
    let (nowhere, taken) = (nowhere.display(), taken.display());
    let (good, plain) = (folder.path().join("audit.log"), folder.path().join("plain.conf"));
    fs::write(&plain, RULES).unwrap();
    let agent = Agent::start(&["-f", rules.to_str().unwrap()]);
    for (directives, line, path) in [
        (format!("SecDebugLog {nowhere}/debug.log\n"), 4, format!("{nowhere}/debug.log")),
        (format!("SecAuditEngine On\nSecAuditLog {nowhere}/a.log\n"), 5, format!("{nowhere}/a.log")),
        (
            format!("SecAuditEngine RelevantOnly\nSecAuditLog \"{taken}/a.log\"\n"),
            5,
            format!("{taken}/a.log"),
        ),
        (
            format!("SecAuditEngine On\nSecAuditLog {}\n", folder.path().display()),
            5,
            folder.path().display().to_string(),
        ),
        (
            format!(
                "SecAuditEngine On\nSecAuditLogType Concurrent\nSecAuditLog {}\nSecAuditLogStorageDir {taken}\n",
                good.display()
            ),
            7,
            taken.to_string(),
        ),
        (
            format!("SecAuditEngine On\nSecAuditLog {}\nSecAuditLog2 {nowhere}/b.log\n", good.display()),
            6,
            format!("{nowhere}/b.log"),
        ),
    ] {
        fs::write(&rules, format!("{RULES}{directives}")).unwrap();
        let file = rules.to_str().unwrap();
        let place = format!("{file}:{line}: ");
        for options in [&["--check", "-f", file][..], &["--listen", "127.0.0.1:0", "-f", file]] {
            let output = run(options, &[]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{directives}: {said}");
            assert!(said.contains(&place) && said.contains(&path), "{directives}: {said}");
        }
        let app = ["--check", "-f", plain.to_str().unwrap(), "--app", &format!("shop={file}")];
        let said = String::from_utf8(run(&app, &[]).stderr).unwrap();
        assert!(said.contains("shop") && said.contains(&place), "{said}");
        let mark = agent.log.count();
        agent.signal("HUP");
        let line = agent.log.wait_for_after(mark, "a refusal", |line| line.contains(" cannot reload"));
        assert!(line.contains(&place), "{line}");
        ask(&agent);
    }
    assert!(!good.exists() || engine() == 2, "the check leaves a file behind");
}

fn full_disk(isolation: &str) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let agent = Agent::with_rules(&with_audit("Serial", &log, ""), &["-n", "1", "--isolation", isolation]);
    ask(&agent);
    wait_until("a record", || fs::read_to_string(&log).unwrap_or_default().contains("-Z--"));
    // Far above all else that the processes write, and the file is that long.
    let full = 1 << 30;
    OpenOptions::new().write(true).open(&log).unwrap().set_len(full).unwrap();
    limit(&agent, full);
    told(&agent);
    assert_eq!(agent.log.lines_with(" ERRO "), Vec::<String>::new());
}

#[test]
fn records_that_a_full_disk_swallows_are_counted() {
    full_disk("process");
}

#[test]
fn records_that_a_full_disk_swallows_are_counted_with_threads() {
    full_disk("thread");
}

#[test]
fn records_of_their_own_that_have_no_folder_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (log, storage) = (folder.path().join("audit.log"), folder.path().join("records"));
    fs::create_dir(&storage).unwrap();
    let more = format!("SecAuditLogStorageDir {}\n", storage.display());
    let agent = Agent::with_rules(&with_audit("Concurrent", &log, &more), &["-n", "1"]);
    ask(&agent);
    wait_until("a record", || fs::read_dir(&storage).unwrap().count() > 0);
    fs::remove_dir_all(&storage).unwrap();
    // ModSecurity 2.9 makes a folder that is missing.
    File::create(&storage).unwrap();
    told(&agent);
}

#[test]
fn records_in_a_file_that_was_removed_are_counted_until_a_reload_makes_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let agent = Agent::with_rules(&with_audit("Serial", &log, ""), &["-n", "1"]);
    fs::remove_file(&log).unwrap();
    assert!(told(&agent).contains("removed"));
    let mark = agent.log.count();
    agent.signal("HUP");
    agent.log.wait_for_after(mark, "the reload", |line| line.contains(" rules reloaded, "));
    wait_until("a record in the new file", || {
        ask(&agent);
        fs::read_to_string(&log).unwrap_or_default().contains("-Z--")
    });
}

/// Opening it would wait for a reader.
#[test]
fn a_fifo_that_nobody_reads_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (_folder, rules) = rule_file(&with_audit("Serial", &fifo, ""));
    let output = run(&["--check", "-f", rules.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(":7: SecAuditLog ") && said.contains("a FIFO that nobody reads"), "{said}");
}

/// By JSON too, and where only denials have a record.
#[test]
fn what_is_written_or_not_wanted_is_not_called_lost() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("records");
    fs::create_dir(&storage).unwrap();
    let storage = format!("SecAuditLogStorageDir {}\n", storage.display());
    let relevant = "SecAuditEngine RelevantOnly\nSecAuditLogRelevantStatus ^5\n".to_owned();
    let json = "SecAuditLogFormat JSON\n".to_owned();
    for (kind, more) in [
        ("Serial", String::new()),
        ("Serial", relevant.clone()),
        ("Serial", json.clone()),
        ("Concurrent", storage.clone()),
        ("Concurrent", format!("{storage}{relevant}")),
        ("Concurrent", format!("{storage}{json}")),
    ] {
        let log = folder.path().join("audit.log");
        let agent = Agent::with_rules(&with_audit(kind, &log, &more), &["-n", "2", "--responses", "10"]);
        for _ in 0..20 {
            ask(&agent);
            assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
        }
        // It looks once more before it ends.
        let (_, lines) = agent.stop();
        assert!(!lines.iter().any(|line| line.contains("lost")), "{kind} {more}: {lines:#?}");
    }
}
