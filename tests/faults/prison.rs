//! What can whoever takes over an engine do? Code runs in real engines (tests/data/attempts.cc, in place of an exploit) and
//! tries what an attacker would; the agent runs as root and as an ordinary user.

use crate::census::Process;
use crate::subject::{Subject, attack, clean, faulty};
use crate::support::agent::Agent;
use crate::support::log::{Log, value};
use crate::support::process::{AGENT, engine, guarded, is_left_out, signal, spawn};
use crate::support::waiting::wait_until;
use std::fs;
use std::process::{Command, Stdio};

/// An ordinary user: one of Debian's without a name.
const ORDINARY: u32 = 54_321;

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The kernel ends the engine, and the log has the name of the system call.
    Ended(&'static str),
    /// The system call fails with this number.
    Errno(i32),
}
use Answer::{Ended, Errno};

const EACCES: i32 = 13;
const ENOMEM: i32 = 12;
const EMFILE: i32 = 24;

/// The attempts, and what must come of each. What stands for another process, or a file, is filled in.
const ATTEMPTS: &[(&str, Answer)] = &[
    ("memory FRONT", Errno(EACCES)),
    ("memory ZYGOTE", Errno(EACCES)),
    ("memory OTHER", Errno(EACCES)),
    ("own-memory", Errno(EACCES)),
    ("environment FRONT", Errno(EACCES)),
    ("descriptor FRONT", Errno(EACCES)),
    ("process_vm_writev FRONT", Ended("process_vm_writev")),
    ("process_vm_writev OTHER", Ended("process_vm_writev")),
    ("ptrace FRONT", Ended("ptrace")),
    ("ptrace OTHER", Ended("ptrace")),
    ("pidfd_open FRONT", Ended("pidfd_open")),
    ("pidfd_getfd", Ended("pidfd_getfd")),
    ("kill FRONT", Ended("kill")),
    ("kill OTHER", Ended("kill")),
    ("stop FRONT", Ended("kill")),
    ("stop ZYGOTE", Ended("kill")),
    ("tgkill FRONT", Ended("tgkill")),
    ("fork", Ended("clone")),
    ("vfork", Ended("vfork")),
    ("clone3", Ended("clone3")),
    ("exec /bin/true", Ended("execve")),
    ("setsid", Ended("setsid")),
    ("setpgid", Ended("setpgid")),
    ("setuid", Ended("setuid")),
    ("read RULES", Errno(EACCES)),
    ("write RULES", Errno(EACCES)),
    ("unlink RULES", Errno(EACCES)),
    ("rename RULES", Errno(EACCES)),
    ("mkdir RULES", Errno(EACCES)),
    ("symlink RULES", Ended("symlink")),
    ("chmod RULES", Ended("chmod")),
    ("read /etc/shadow", Errno(EACCES)),
    ("write /etc/passwd", Errno(EACCES)),
    ("create /tmp/prison-break", Errno(EACCES)),
    ("write AUDIT", Errno(EACCES)),
    ("write OTHER_AUDIT", Errno(EACCES)),
    ("unlink AUDIT", Errno(EACCES)),
    ("fchmod", Ended("fchmod")),
    ("truncate", Ended("ftruncate")),
    ("not-append", Ended("fcntl")),
    ("unlink SOCKET", Errno(EACCES)),
    ("inet", Ended("socket")),
    ("inet6", Ended("socket")),
    ("unix", Errno(EACCES)),
    ("netlink", Ended("socket")),
    ("mount", Ended("mount")),
    ("bpf", Ended("bpf")),
    ("add_key", Ended("add_key")),
    ("io_uring_setup", Ended("io_uring_setup")),
    ("unshare", Ended("unshare")),
    ("memfd_create", Ended("memfd_create")),
    ("dumpable", Ended("prctl")),
    ("handler", Ended("rt_sigaction")),
    ("executable", Errno(EACCES)),
    ("shared", Errno(EACCES)),
    ("all-memory", Errno(ENOMEM)),
    ("all-files", Errno(EMFILE)),
];

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// A number in /proc/PID/status, in the base that it has there.
fn status(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {key} in {status}")).to_owned()
}

/// Has each attempt made in an engine of its own, and compares what comes of it.
fn make_attempts(user: Option<u32>, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let own = user.map(|user| std::os::unix::fs::chown(folder.path(), Some(user), Some(user)));
    own.into_iter().for_each(|done| done.unwrap());
    let socket = folder.path().join("spoa.sock");
    let other_audit = folder.path().join("other-audit.log");
    fs::write(&other_audit, "record").unwrap();
    fs::set_permissions(&other_audit, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let listen = format!("unix:{}", socket.display());
    let mut all = vec!["--deadline", "20s", "--listen", &listen];
    all.extend_from_slice(options);
    let subject = Subject::with_options_as(user, &all);
    let (front, zygote) = (subject.agent.pid(), subject.zygote());
    let rules = fs::read(subject.rules()).unwrap();
    let mut link = subject.agent.link();
    let mut wrong = Vec::new();
    for (number, (attempt, expected)) in ATTEMPTS.iter().enumerate() {
        let other = subject.engine(4).pid;
        let mut order = (*attempt).to_owned();
        for (name, value) in [
            ("OTHER_AUDIT", other_audit.display().to_string()),
            ("FRONT", front.to_string()),
            ("ZYGOTE", zygote.pid.to_string()),
            ("OTHER", other.to_string()),
            ("RULES", subject.rules().display().to_string()),
            ("AUDIT", subject.rules().with_file_name("audit.log").display().to_string()),
            ("SOCKET", socket.display().to_string()),
        ] {
            order = order.replace(name, &value);
        }
        let mark = subject.agent.log.count();
        let ack = link.ask(&faulty(&format!("attempt {order}"), number as u64));
        let name = attempt.split(' ').next().unwrap();
        let told = format!("attempt {name}: ");
        let is_about = |line: &str| line.contains(&told) || line.contains(" forbidden system call, ");
        let line = subject.agent.log.wait_for_after(mark, "an answer", is_about);
        let answer = match value(&line, "system_call") {
            Some(call) => format!("ended at {call}"),
            None => value(&line, "text").unwrap().trim_matches('"').split(": ").nth(1).unwrap().to_owned(),
        };
        let right = match expected {
            Ended(call) => format!("ended at {call}"),
            Errno(number) => format!("errno {number}"),
        };
        println!("{attempt:28} {answer}");
        if answer != right || ack.error() != Some("crash") {
            wrong.push(format!("{attempt}: {answer}, not {right}; {:?}", ack.error()));
        }
        // The agent goes on.
        assert_eq!(link.ask(&clean(number as u64)).code(), Some(0), "after {attempt}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // It goes on with what it had.
    assert_eq!(link.ask(&attack(1)).code(), Some(403));
    assert!(zygote.runs() && socket.exists());
    assert_eq!(fs::read(subject.rules()).unwrap(), rules);
    assert_eq!(fs::read(&other_audit).unwrap(), b"record");
    assert_eq!(subject.audit_records(), 1);
    for pid in (1..=4).map(|worker| subject.engine(worker).pid) {
        // Before its first request, which it may not have had.
        let facts = || ["NoNewPrivs", "Seccomp"].map(|key| status(pid, key));
        wait_until("a confined engine", || facts() == ["1", "2"]);
        let rights = ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|key| status(pid, key));
        assert!(rights.iter().all(|set| set.bytes().all(|digit| digit == b'0')), "{rights:?}");
        if is_root() {
            // Otherwise it is not the agent's to give up, and worth nothing without new privileges.
            assert!(user.is_some() || status(pid, "CapBnd").bytes().all(|digit| digit == b'0'));
        }
        let score = |pid| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        let (engine, front) = (score(pid), score(front));
        assert!(engine.trim().parse::<i32>().unwrap() > front.trim().parse().unwrap());
    }
}

#[test]
fn an_engine_that_is_taken_over_reaches_nothing() {
    make_attempts(None, &["-n", "4"]);
}

#[test]
fn an_engine_of_an_ordinary_users_agent_reaches_nothing() {
    // Without root, the test above is this one.
    if !is_left_out(!is_root(), "root") {
        make_attempts(Some(ORDINARY), &["-n", "4"]);
    }
}

#[test]
fn an_engine_that_keeps_roots_user_reaches_nothing() {
    if !is_left_out(!is_root(), "root") {
        make_attempts(None, &["-n", "4", "--engine-user", "root"]);
    }
}

#[test]
fn engines_have_a_user_of_their_own_when_the_agent_is_root() {
    if is_left_out(!is_root(), "root") {
        return;
    }
    let user =
        |subject: &Subject| status(subject.engine(1).pid, "Uid").split('\t').next().unwrap().to_owned();
    // An engine becomes this user some time before its first request.
    let becomes = |subject: Subject, id: &str| wait_until(id, || user(&subject) == id);
    becomes(Subject::start(), "65534");
    becomes(Subject::with_options(&["--engine-user", "54321"]), "54321");
    assert_eq!(user(&Subject::with_options(&["--engine-user", "root"])), "0");
    let subject = Subject::with_options(&["--sandbox", "off"]);
    assert_eq!(user(&subject), "0");
    assert_eq!(status(subject.engine(1).pid, "Seccomp"), "0");
    subject.agent.log.wait_for_text(" WARN engines are not confined");
}

#[test]
fn a_set_up_that_runs_loses_no_record_for_the_engines_user() {
    if is_left_out(!is_root(), "root") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records");
    fs::create_dir(&records).unwrap();
    let rules = format!(
        "SecRuleEngine On\nSecRule ARGS:attack \"@streq 1\" \"id:1,phase:1,deny,status:403,log,auditlog\"\n\
         SecAuditEngine RelevantOnly\nSecAuditLogParts AZ\nSecAuditLogType Concurrent\nSecAuditLog {}\n\
         SecAuditLogStorageDir {}\n",
        folder.path().join("audit.log").display(),
        records.display()
    );
    // It is root's alone, as a log folder is.
    let agent = Agent::with_rules(&rules, &["-n", "1"]);
    let line = agent.log.wait_for_text(" WARN engines keep the agent's user; ");
    assert!(value(&line, "cause").unwrap().contains(records.to_str().unwrap()), "{line}");
    assert_eq!(agent.link().ask(&attack(1)).code(), Some(403));
    wait_until("a record", || records.read_dir().unwrap().count() == 1);

    let agent = Agent::with_rules(&rules, &["-n", "1", "--engine-user", "54321"]);
    let line = agent.log.wait_for_text(" WARN engines cannot write what the rules tell them to; ");
    assert!(value(&line, "path").unwrap().contains(records.to_str().unwrap()), "{line}");
    assert_eq!(value(&line, "user"), Some("54321"), "{line}");
}

#[test]
fn nobody_but_root_sees_into_the_agent() {
    if is_left_out(!is_root(), "root") {
        return;
    }
    let subject = Subject::with_options_as(Some(ORDINARY), &[]);
    for pid in [subject.agent.pid(), subject.zygote().pid, subject.engine(1).pid] {
        let path = format!("/proc/{pid}/environ");
        let output = Command::new("setpriv")
            .args(["--reuid", &ORDINARY.to_string(), "--clear-groups", "--", "cat", &path])
            .output()
            .unwrap();
        assert!(!output.status.success(), "{path} is readable for the agent's own user");
    }
}

#[test]
fn lies_in_the_shared_memory_cost_their_request_alone() {
    let subject = Subject::start();
    let mut link = subject.agent.link();
    let mut number = 0;
    for byte in ["0", "1", "127", "128", "255"] {
        for _ in 0..3 {
            number += 1;
            let told = || subject.agent.log.lines_with("attempt lies: told").len();
            let before = told();
            let ack = link.ask(&faulty(&format!("attempt lies {byte}"), number));
            assert_eq!((ack.error(), ack.code()), (Some("crash"), None), "{byte}");
            // Twice, if the first engine lied that it had not begun with the request.
            wait_until("the lies are told", || told() > before);
            assert_eq!(link.ask(&clean(number)).code(), Some(0), "after {byte}");
            assert_eq!(link.ask(&attack(number)).code(), Some(403), "after {byte}");
        }
    }
}

#[test]
fn what_an_engine_says_is_quoted_and_little() {
    let subject = Subject::start();
    let mut link = subject.agent.link();
    assert_eq!(link.ask(&faulty("attempt flood", 1)).code(), Some(0));
    subject.agent.log.wait_for_text(" engine says more than is logged, ");
    assert_eq!(link.ask(&clean(1)).code(), Some(0));
    let said = subject.agent.log.lines_with(" engine says, ");
    assert!(!said.is_empty() && said.len() < 50, "{} lines", said.len());
    assert!(said.iter().all(|line| line.contains("text: \"xxx")), "{said:?}");
}

#[test]
fn rules_that_run_programs_widen_the_sandbox_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("judge.sh");
    fs::write(&script, "#!/bin/sh\ntouch \"$0.ran\"\necho 0 no\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let rules = format!(
        "SecRuleEngine On\nSecRule ARGS:item \"@inspectFile {}\" \"id:1,phase:2,deny,status:403\"\n",
        script.display()
    );
    let agent = Agent::with_rules(&rules, &["-n", "1"]);
    let line = agent.log.wait_for_text(" WARN sandbox widened: these rules run programs");
    assert_eq!(value(&line, "cause"), Some("@inspectFile"), "{line}");
    assert!(value(&line, "at").unwrap().ends_with("rules.conf:2"), "{line}");
    let ack = agent.link().ask(&clean(1));
    assert_eq!(ack.code(), Some(403), "{ack:?} {:#?}", agent.log.lines());
    assert!(script.with_extension("sh.ran").exists());
}

/// strace(1) answers in the place of a kernel that has no Landlock.
#[test]
fn without_landlock_the_agent_says_so_and_confines_engines_by_what_there_is() {
    if is_left_out(!is_root(), "root") {
        return;
    }
    let inject = "inject=landlock_create_ruleset:error=ENOSYS";
    let mut command = guarded("strace");
    command.args(["-f", "-qqq", "--seccomp-bpf", "-e", "trace=landlock_create_ruleset", "-e", inject]);
    // The agent ends with strace, as strace does with the test.
    command.args(["-o", "/dev/null", "setpriv", "--pdeathsig", "KILL", "--"]);
    command.args([AGENT, "--listen", "127.0.0.1:0", "-n", "1"]);
    let mut agent = Agent::launch_command(command).ready();
    agent.log.wait_for_text(" INFO engines are confined, system_calls_filtered: true, landlock: 0");
    agent.log.wait_for_text(" WARN this kernel cannot confine the files of engines (Landlock, ");
    assert_eq!(agent.link().ask(&clean(1)).code(), Some(0));
    // strace, the agent, its zygotes, their engines.
    let of_each =
        |all: Vec<Process>| all.iter().flat_map(|one| Process::children_of(one.pid)).collect::<Vec<_>>();
    let fronts = Process::children_of(agent.pid());
    let engines = of_each(of_each(fronts.clone()));
    assert_eq!(engines.len(), 1, "{engines:?}");
    let facts = ["NoNewPrivs", "Seccomp", "CapEff"].map(|key| status(engines[0].pid, key));
    assert_eq!(facts, ["1", "2", "0000000000000000"]);
    // strace itself waits for those that it traces, whatever it is sent.
    fronts.iter().for_each(|front| signal(front.pid, "TERM"));
    assert!(agent.wait().success());
}

#[test]
fn the_first_process_of_a_container_collects_no_zombies() {
    let can = Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if is_left_out(!can.is_ok_and(|output| output.status.success()), "process namespaces, and root for them")
    {
        return;
    }
    let mut command = guarded("unshare");
    command.args(["--pid", "--fork", "--kill-child", AGENT]);
    command.args(["--listen", "127.0.0.1:0", "-n", "4"]);
    command.env("MODSECURITY_SPOA_ENGINE", engine().to_string());
    let mut child = spawn({
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    });
    let log = Log::follow(child.stderr.take().unwrap());
    log.wait_for_text(" ready, ");
    let agents = Process::children_of(child.id());
    assert_eq!(agents.len(), 1, "{agents:?}");
    let front = agents[0].pid;
    for killed in 1..=3 {
        wait_until("the spare", || {
            Process::children_of(front).iter().any(|process| process.name == "zygote-spare")
        });
        let mut zygotes = Vec::new();
        // The spare that took over gives itself its new name after that.
        wait_until("the zygote", || {
            zygotes = Process::children_of(front);
            zygotes.retain(|process| process.runs() && process.name == "zygote");
            zygotes.len() == 1
        });
        signal(zygotes[0].pid, "KILL");
        wait_until("the spare in its place", || log.lines_with(" spare zygote took over, ").len() == killed);
    }
    let children = || Process::children_of(front);
    wait_until("no zombie is left", || children().iter().all(Process::runs));
    wait_until("zygote and spare", || children().len() == 2);
    signal(front, "KILL");
    child.wait().unwrap();
}
