//! Are log files and audit logs opened anew, by signals and with the real logrotate(8), without a line that is lost or twice
//! there?

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::support::agent::Agent;
use crate::support::spop::{Link, Message};
use crate::support::waiting::{SetAtEnd, wait_until};
use crate::support::wire::text;

const RULES: &str = r#"SecRuleEngine On
SecAuditEngine RelevantOnly
SecAuditLogFormat JSON
SecAuditLogParts AHZ
SecAuditLogType Serial
SecAuditLog FOLDER/audit.log
SecRule ARGS:q "@streq bad" "id:1,phase:1,deny,log,auditlog"
"#;

struct Subject {
    agent: Agent,
    folder: TempDir,
}

impl Subject {
    fn start(isolation: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        fs::write(folder.path().join("rules.conf"), RULES.replace("FOLDER", &path)).unwrap();
        let (rules, log) = (format!("{path}/rules.conf"), format!("{path}/agent.log"));
        let options = [
            "-f",
            &rules,
            "-n",
            "2",
            "--isolation",
            isolation,
            "--log",
            "stderr",
            "--log",
            &log,
            "--log-limit",
            "0",
            "--log-matches",
            "none",
        ];
        let agent = Agent::start(&options);
        fs::write(folder.path().join("pid"), agent.pid().to_string()).unwrap();
        Self { agent, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Moves both logs away.
    fn move_away(&self) {
        for name in ["agent.log", "audit.log"] {
            fs::rename(self.path(name), self.path(&format!("{name}.1"))).unwrap();
        }
    }
}

/// A request that is denied, under this number.
fn ask(link: &mut Link, number: usize) {
    let request = Message::get("/", Some("q=bad")).with("unique-id", text(&format!("request-{number:06}")));
    assert_eq!(link.ask(&request).code(), Some(403));
}

/// How often each request is named by a line of the text.
fn named(text: &str) -> BTreeMap<usize, usize> {
    let mut seen = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("request-")) {
        let at = line.find("request-").unwrap() + "request-".len();
        *seen.entry(line[at..at + 6].parse().unwrap()).or_default() += 1;
    }
    seen
}

/// Whether each of the files ends with a whole line, and begins with one.
#[track_caller]
fn assert_lines_whole(texts: &[String]) {
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let ends = (text.as_bytes()[0], text.as_bytes()[text.len() - 1]);
        assert!(ends.0 != b'\n' && ends.1 == b'\n', "a record is torn: {ends:?}");
    }
}

/// Each of the first `count` requests has one line.
#[track_caller]
fn assert_whole(text: &str, count: usize) {
    let expected: BTreeMap<usize, usize> = (0..count).map(|number| (number, 1)).collect();
    assert_eq!(named(text), expected);
}

fn reopened(isolation: &str, signal: &str) {
    let subject = Subject::start(isolation);
    let mut link = subject.agent.link();
    let mut count = 0;
    let mut ask_some = |link: &mut Link, more: usize| {
        for _ in 0..more {
            ask(link, count);
            count += 1;
        }
        count
    };
    ask_some(&mut link, 20);
    subject.move_away();
    let before = ask_some(&mut link, 20);
    if signal == "HUP" {
        // Rules that cannot be loaded: the old ones stay, and so do their engines.
        fs::write(subject.path("rules.conf"), "SecNonsense\n").unwrap();
    }
    subject.agent.signal(signal);
    wait_until("the new audit log", || {
        ask_some(&mut link, 1);
        !subject.read("audit.log").is_empty()
    });
    let count = ask_some(&mut link, 20);
    // Workers log what they have answered, each at its own pace.
    wait_until("all lines", || {
        named(&(subject.read("agent.log.1") + &subject.read("agent.log"))).len() == count
    });
    assert_whole(&(subject.read("agent.log.1") + &subject.read("agent.log")), count);
    wait_until("all records", || {
        named(&(subject.read("audit.log.1") + &subject.read("audit.log"))).len() == count
    });
    assert_whole(&(subject.read("audit.log.1") + &subject.read("audit.log")), count);
    assert!(named(&subject.read("agent.log")).len() < count - 20, "the old file had nothing: {before}");
    assert_lines_whole(&[subject.read("audit.log.1"), subject.read("audit.log")]);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(subject.path("agent.log")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(subject.agent.log.lines_with("cannot be reopened"), Vec::<String>::new());
}

#[test]
fn logs_that_were_moved_away_are_opened_anew_on_sigusr1() {
    reopened("process", "USR1");
}

#[test]
fn logs_that_were_moved_away_are_opened_anew_on_sigusr1_with_threads() {
    reopened("thread", "USR1");
}

#[test]
fn logs_that_were_moved_away_are_opened_anew_on_sighup_whose_rules_are_wrong() {
    reopened("process", "HUP");
}

#[test]
fn a_log_that_cannot_be_opened_anew_stays_the_old_one() {
    let subject = Subject::start("process");
    subject.move_away();
    fs::create_dir(subject.path("agent.log")).unwrap();
    fs::create_dir(subject.path("audit.log")).unwrap();
    subject.agent.signal("USR1");
    subject.agent.log.wait_for_text(" ERRO audit log cannot be reopened, going on with the old one, cause: ");
    wait_until("the word of the log itself", || {
        subject
            .read("agent.log.1")
            .contains(" ERRO log file cannot be reopened, going on with the old one, cause: ")
    });
    ask(&mut subject.agent.link(), 0);
    wait_until("the denial", || subject.read("agent.log.1").contains("request-000000"));
    wait_until("its record", || subject.read("audit.log.1").contains("request-000000"));
}

/// A spare zygote, which takes the place of one that dies, has the new files too.
#[test]
fn a_zygote_that_takes_over_has_the_new_audit_log() {
    let subject = Subject::start("process");
    wait_until("a spare", || subject.agent.spare().is_some());
    let spare = subject.agent.spare();
    subject.move_away();
    subject.agent.signal("USR1");
    subject.agent.log.wait_for_text(" audit logs reopened, files: 1");
    // It has the old file, and another one takes its place.
    wait_until("another spare", || subject.agent.spare().is_some_and(|pid| Some(pid) != spare));
    crate::support::process::signal(subject.agent.zygote(), "KILL");
    subject.agent.log.wait_for_text("spare zygote took over");
    let mut link = subject.agent.link();
    let attack = Message::get("/", Some("q=bad")).with("unique-id", text("request-000007"));
    wait_until("a denial", || link.ask(&attack).code() == Some(403));
    wait_until("its record", || subject.read("audit.log").contains("request-000007"));
    assert!(!subject.read("audit.log.1").contains("request-000007"));
}

/// The content of a log and of all files that it was before, the compressed ones too.
fn files_of(folder: &Path, name: &str) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name));
    let content = |file: PathBuf| {
        let output = Command::new("zcat").arg("-f").arg(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    files.map(content).collect()
}

fn all_of(folder: &Path, name: &str) -> String {
    files_of(folder, name).concat()
}

/// With the file that deploy/ has, while four clients attack.
fn rotated(isolation: &str) {
    const ROTATIONS: usize = 4;
    let subject = Subject::start(isolation);
    let folder = subject.folder.path();
    let sample =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/logrotate/modsecurity-spoa"))
            .unwrap();
    let folder_name = folder.to_str().unwrap();
    let ours = sample
        .replace("/var/log/modsecurity-spoa", folder_name)
        .replace("/run/modsecurity-spoa", folder_name);
    fs::write(folder.join("logrotate.conf"), ours).unwrap();
    let logrotate = || {
        let mut command = Command::new("/usr/sbin/logrotate");
        command.args(["--force", "--state"]).arg(folder.join("state")).arg(folder.join("logrotate.conf"));
        let output = command.output().expect("cannot start logrotate (package logrotate)");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    };
    let (asked, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _end = SetAtEnd(&is_over);
        for _ in 0..4 {
            scope.spawn(|| {
                let mut link = subject.agent.link();
                while !is_over.load(Ordering::Relaxed) {
                    ask(&mut link, asked.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        for _ in 0..ROTATIONS {
            let (before, engines) = (asked.load(Ordering::Relaxed), subject.agent.engines());
            logrotate();
            for name in ["agent.log", "audit.log"] {
                wait_until("lines in the new file", || !named(&subject.read(name)).is_empty());
            }
            // logrotate compresses the file before the last one at the next rotation: by then no engine may write to it.
            wait_until("other engines", || {
                !subject.agent.engines().iter().any(|engine| engines.contains(engine))
            });
            wait_until("more requests", || asked.load(Ordering::Relaxed) > before + 50);
        }
    });
    let count = asked.load(Ordering::Relaxed);
    // Of a record that is torn the line's end is in another file.
    wait_until("whole records", || files_of(folder, "audit.log").iter().all(|text| text.ends_with('\n')));
    assert_lines_whole(&files_of(folder, "audit.log"));
    wait_until("all lines", || named(&all_of(folder, "agent.log")).len() == count);
    wait_until("all records", || named(&all_of(folder, "audit.log")).len() == count);
    assert_whole(&all_of(folder, "agent.log"), count);
    assert_whole(&all_of(folder, "audit.log"), count);
    assert!(folder.join("audit.log.2.gz").exists() && folder.join("agent.log.4.gz").exists());
    assert_eq!(subject.agent.log.lines_with(" WARN audit records lost"), Vec::<String>::new());
}

#[test]
fn logrotate_loses_no_line_and_doubles_none() {
    rotated("process");
}

#[test]
fn logrotate_loses_no_line_and_doubles_none_with_threads() {
    rotated("thread");
}
