//! When the system has no process for one more engine. The limit counts the processes and threads of a user (setrlimit(2)) and
//! not those of root, so the agent runs as a user of its own when the tests run as root.

use crate::support::agent::{Agent, rule_file};
use crate::support::process::{AGENT, guarded, install, is_left_out, signal};
use crate::support::spop::Message;
use crate::support::waiting::wait_until;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A user that nothing else runs as, different for each test that runs at the same time.
const USERS: u32 = 3_000_000;

/// Readable for every user.
fn share(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A command for an agent with four workers, of a user of its own, whose processes and threads are at most so many.
fn agent_of(user: u32, processes: Option<u32>) -> (TempDir, Command) {
    let (folder, rules) = rule_file("SecRuleEngine On\n");
    let binary = folder.path().join("agent");
    install(AGENT, &binary);
    [folder.path(), &rules, &binary].into_iter().for_each(share);
    let mut command = guarded("env");
    if let Some(processes) = processes {
        command.args(["prlimit", &format!("--nproc={processes}")]);
    }
    command.args(identity(user));
    command.arg(&binary).args(["--listen", "127.0.0.1:0", "-n", "4", "--deadline", "10s", "-f"]).arg(rules);
    (folder, command)
}

/// From now on this process of the user's cannot fork while the user has so many processes and threads.
fn limit(user: u32, pid: u32, processes: &str) {
    let mut command = Command::new("env");
    command.args(identity(user)).args(["prlimit", "--pid", &pid.to_string()]);
    let status = command.arg(format!("--nproc={processes}:")).status();
    assert!(status.unwrap().success(), "prlimit fails");
}

/// How to run a command as this user.
fn identity(user: u32) -> Vec<String> {
    if !is_root() {
        return Vec::new();
    }
    let id = (USERS + std::process::id() * 10 + user).to_string();
    let words = ["setpriv", "--pdeathsig", "KILL", "--reuid", &id, "--regid", &id, "--clear-groups", "--"];
    words.map(str::to_owned).to_vec()
}

/// The zygote and its spare, by their place in the family.
fn zygotes(agent: &Agent) -> Vec<u32> {
    let engines = agent.engines();
    agent.helpers().into_iter().filter(|pid| !engines.contains(pid)).collect()
}

#[test]
fn one_engine_that_cannot_start_takes_no_other_down() {
    let (_folder, command) = agent_of(0, None);
    let agent = Agent::launch_command(command).ready();
    let mut link = agent.link();
    let zygotes = zygotes(&agent);
    zygotes.iter().for_each(|pid| limit(0, *pid, "1"));
    let victim = agent.engines()[0];
    signal(victim, "KILL");
    let line = agent.log.wait_for("a start that fails", |line| line.contains("EAGAIN"));
    assert!(line.contains("TasksMax=") && line.contains("ulimit -u"), "{line}");
    for number in 0..200 {
        let ack = link.ask(&Message::get("/", Some(&format!("item={number}"))));
        assert_eq!(ack.code(), Some(0), "{ack:?}");
    }
    // More than it took to have all of them killed.
    wait_until("ten attempts", || agent.log.lines_with("EAGAIN").len() >= 10);
    assert_eq!(agent.log.lines_with(" escalated"), Vec::<String>::new());
    assert_eq!(agent.engines().len(), 3);
    zygotes.iter().for_each(|pid| limit(0, *pid, "1000"));
    agent.log.wait_for_text(" worker restarted, ");
    wait_until("all engines", || agent.engines().len() == 4);
}

/// Whatever the limit is: the agent serves with all its engines, or says why not in one line and ends.
#[test]
fn an_agent_that_cannot_start_all_its_engines_says_why_and_ends() {
    // For a user with other processes the limit means something else.
    if is_left_out(!is_root(), "root, for a user without other processes") {
        return;
    }
    let mut refused = 0;
    // The first thread beside the main one is that of the log, without which nothing can be said.
    for processes in 2..30 {
        let (_folder, command) = agent_of(1, Some(processes));
        let mut agent = Agent::launch_command(command);
        let mut ended = None;
        wait_until("an agent that is ready or has ended", || {
            ended = (!agent.runs()).then(|| agent.wait().code());
            ended.is_some() || !agent.log.lines_with(" ready, ").is_empty()
        });
        let lines = agent.log.lines();
        let Some(status) = ended else {
            assert!(refused > 3, "too few limits that are too low");
            println!("ready with {processes} processes and threads");
            return;
        };
        let lines = if status.is_some() { agent.log.wait_for_end() } else { lines };
        println!("{processes}: {status:?} {:?}", lines.last());
        assert_eq!(status, Some(1), "with {processes}: {lines:#?}");
        let why = lines.iter().filter(|line| line.contains("cannot") || line.contains("Cannot")).count();
        assert!(why >= 1, "with {processes}: {lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("panicked")), "with {processes}: {lines:#?}");
        refused += usize::from(lines.iter().any(|line| line.contains("TasksMax=")));
    }
    panic!("30 are not enough");
}
