//! Does the agent go into the background as a daemon does, and does whoever starts it know how that went?

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::agent::{Agent, rule_file};
use crate::support::background::{Background, runs, wait_for_end};
use crate::support::process::run;
use crate::support::spop::Message;
use crate::support::waiting::wait_until;

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny\"\n";

/// A word of /proc/PID/status.
fn status(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {key} in {status}")).to_owned()
}

/// Its parent, its group, its session and its terminal.
fn relations(pid: u32) -> [i32; 4] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let mut words = stat.rsplit(") ").next().unwrap().split(' ').skip(1).map(|word| word.parse().unwrap());
    std::array::from_fn(|_| words.next().unwrap())
}

fn descriptor(pid: u32, number: u32) -> String {
    fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn who_starts_a_daemon_gets_0_when_it_serves() {
    let agent = Background::new(RULES);
    assert_eq!(agent.start(&[]), Some(0), "{}", agent.log());
    // Without waiting for anything.
    let mut link = agent.link();
    assert_eq!(link.ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
    assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0));

    let pid = agent.pid();
    let own = std::process::id() as i32;
    let [parent, group, session, terminal] = relations(pid);
    assert_ne!(parent, own, "it is somebody's child");
    assert_ne!(relations(std::process::id())[2], session, "it is in the session of who started it");
    assert_ne!(session, pid as i32, "it leads its session, and can get a terminal");
    assert_eq!((group, terminal), (session, 0));
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    assert_eq!(status(pid, "Umask"), "0027");
    assert_eq!([0, 1].map(|number| descriptor(pid, number)), ["/dev/null"; 2]);
    assert_eq!(descriptor(pid, 2), agent.argument("log"));
    assert!(agent.log().contains(" ready, "), "{}", agent.log());

    agent.signal("TERM");
    wait_for_end(pid);
    assert!(agent.log().contains(" stopped"), "{}", agent.log());
    assert!(!agent.path("agent.pid").exists() && !agent.path("agent.sock").exists());
}

/// Whoever reads until the end of its output would wait for ever.
#[test]
fn a_daemon_keeps_nothing_of_who_starts_it_but_a_file() {
    let agent = Background::new(RULES);
    let output = agent.start_and_read(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("modsecurity-spoa: warning: standard error is no file"), "{said}");
    assert_eq!([0, 1, 2].map(|number| descriptor(agent.pid(), number)), ["/dev/null"; 3]);
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
}

/// Runs the command, which must fail with 1 and say this in its last line, and leave nothing behind.
#[track_caller]
fn fails(agent: &Background, options: &[&str], why: &str) {
    let output = agent.start_and_read(options);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("modsecurity-spoa: ") && last.contains(why), "not {why:?} but {said}");
    assert_eq!(said.matches(why).count(), 1, "it is said twice: {said}");
}

#[test]
fn who_starts_a_daemon_that_cannot_serve_gets_1_and_the_reason() {
    let taken = Agent::start(&[]);
    let agent = Background::new(RULES);
    fails(&agent, &["--listen", taken.address()], taken.address());
    fails(&agent, &["--agent-check", taken.address()], taken.address());
    fails(&agent, &["-f", "/nowhere/rules.conf"], "/nowhere/rules.conf");
    fails(&agent, &["--apps", "/nowhere/apps"], "/nowhere/apps");
    fails(&agent, &["--chroot", "/nowhere/root"], "/nowhere/root");
    fs::write(agent.path("rules.conf"), "SecRule nonsense\n").unwrap();
    fails(&agent, &[], "rules.conf");
    assert!(!agent.path("agent.pid").exists() && !agent.path("agent.sock").exists());
}

/// Also when it does not come to say anything.
#[test]
fn who_starts_a_daemon_that_is_killed_meanwhile_gets_1() {
    let agent = Background::new("SecRuleEngine On\n");
    // Without a writer, whoever opens it waits.
    let fifo = agent.argument("waits.pem");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::thread::scope(|scope| {
        let started = scope.spawn(|| agent.start_and_read(&["--tls", &format!("{fifo},{fifo}")]));
        wait_until("its number", || {
            fs::read_to_string(agent.path("agent.pid")).is_ok_and(|text| !text.is_empty())
        });
        let pid = agent.pid();
        agent.signal("KILL");
        wait_for_end(pid);
        let output = started.join().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.ends_with("modsecurity-spoa: the agent ended before it served\n"), "{said}");
    });
}

#[test]
fn paths_that_a_daemon_would_not_find_are_refused() {
    let (_folder, rules) = rule_file(RULES);
    let rules = rules.to_str().unwrap();
    for (options, name) in [
        (["-f", "rules.conf"], "--rules"),
        (["--app", "shop=rules.conf"], "--app"),
        (["--apps", "apps"], "--apps"),
        (["--listen", "unix:agent.sock"], "--listen"),
        (["--pid-file", "agent.pid"], "--pid-file"),
        (["--block-page", "page.html"], "--block-page"),
    ] {
        let output = run(&[&["--daemon", "-f", rules], &options[..]].concat(), &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        // A page is read before that is looked at.
        let is_page = name == "--block-page" && output.status.code() == Some(1);
        assert!(output.status.code() == Some(2) || is_page, "{said}");
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_second_agent_is_refused_by_the_file_of_the_first() {
    let first = Background::new(RULES);
    assert_eq!(first.start(&[]), Some(0));
    let pid = first.pid();
    let file = first.argument("agent.pid");
    for isolation in ["process", "thread"] {
        let options = ["--pid-file", &file, "--listen", "127.0.0.1:0", "--isolation", isolation];
        let output = run(&options, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("process {pid} runs already")) && said.contains(&file), "{said}");
    }
    assert_eq!(first.pid(), pid, "the file has another number");
    assert_eq!(first.link().ask(&Message::get("/", None)).code(), Some(0));
}

#[test]
fn what_a_killed_agent_left_is_no_obstacle() {
    let agent = Background::new(RULES);
    assert_eq!(agent.start(&[]), Some(0));
    let killed = agent.pid();
    agent.signal("KILL");
    wait_for_end(killed);
    assert_eq!(agent.pid(), killed, "the file is left");
    // Whoever has its number now.
    fs::write(agent.path("agent.pid"), format!("{}\n", std::process::id())).unwrap();
    assert_eq!(agent.start(&[]), Some(0), "{}", agent.log());
    assert_ne!(agent.pid(), std::process::id());
    assert!(runs(agent.pid()));
    let said = format!("the file is taken over, process: {}", std::process::id());
    assert!(agent.log().contains(&said), "{}", agent.log());
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
}

/// With engines in threads the process replaces itself, and stays what it is.
#[test]
fn a_reload_in_threads_keeps_the_number_the_lock_and_the_background() {
    let agent = Background::new(RULES);
    assert_eq!(agent.start(&["--isolation", "thread"]), Some(0), "{}", agent.log());
    let (pid, file) = (agent.pid(), fs::metadata(agent.path("agent.pid")).unwrap().ino());
    let before = (relations(pid), status(pid, "Umask"), descriptor(pid, 2));
    for round in 2..=3 {
        agent.signal("HUP");
        wait_until("the new process", || agent.log().matches(" ready, ").count() == round);
        assert_eq!((agent.pid(), fs::metadata(agent.path("agent.pid")).unwrap().ino()), (pid, file));
        assert_eq!((relations(pid), status(pid, "Umask"), descriptor(pid, 2)), before);
        let second = run(&["--pid-file", &agent.argument("agent.pid"), "--listen", "127.0.0.1:0"], &[]);
        assert_eq!(second.status.code(), Some(1), "the lock is gone");
        assert_eq!(agent.link().ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
    }
    agent.signal("TERM");
    wait_for_end(pid);
    assert!(!agent.path("agent.pid").exists() && !agent.path("agent.sock").exists());
}

#[test]
fn in_the_foreground_the_file_has_its_number_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.pid");
    let mut agent = Agent::start(&["--pid-file", path.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", agent.pid()));
    agent.signal("TERM");
    assert_eq!(agent.wait().code(), Some(0));
    assert!(!path.exists());
}

/// A new process takes over, and with it the number, the lock and the background.
#[test]
fn an_upgrade_keeps_the_lock_and_the_background_and_changes_the_number() {
    let agent = Background::new(RULES);
    assert_eq!(agent.start(&[]), Some(0), "{}", agent.log());
    let mut before = agent.pid();
    for _ in 0..2 {
        let inode = fs::metadata(agent.path("agent.pid")).unwrap().ino();
        let [_, group, session, terminal] = relations(before);
        agent.signal("USR2");
        wait_for_end(before);
        wait_until("the new number", || agent.pid() != before);
        assert_eq!(fs::metadata(agent.path("agent.pid")).unwrap().ino(), inode);
        let after = agent.pid();
        let now = relations(after);
        assert_eq!(now[1..], [group, session, terminal]);
        assert_eq!((status(after, "Umask").as_str(), descriptor(after, 0).as_str()), ("0027", "/dev/null"));
        let second = run(&["--pid-file", &agent.argument("agent.pid"), "--listen", "127.0.0.1:0"], &[]);
        assert_eq!(second.status.code(), Some(1), "the lock is gone");
        assert_eq!(agent.link().ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
        before = after;
    }
    agent.signal("TERM");
    wait_for_end(before);
    assert!(!agent.path("agent.pid").exists() && !agent.path("agent.sock").exists());
}

/// The file stays that of the old process, which goes on.
#[test]
fn an_upgrade_that_fails_changes_no_number() {
    let agent = Background::new(RULES);
    assert_eq!(agent.start(&[]), Some(0), "{}", agent.log());
    let pid = agent.pid();
    fs::write(agent.path("rules.conf"), "SecRule nonsense\n").unwrap();
    agent.signal("USR2");
    agent.wait_for_log(" cannot upgrade, this process goes on");
    assert_eq!(agent.pid(), pid);
    let second = run(&["--pid-file", &agent.argument("agent.pid"), "--listen", "127.0.0.1:0"], &[]);
    assert_eq!(second.status.code(), Some(1), "the lock is gone");
    assert_eq!(agent.link().ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
}
