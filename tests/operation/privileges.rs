//! Does an agent that starts as root give up what it is told to, and work on as well as before?
//!
//! What needs root is tested where the tests run as root.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::command_line::refused;
use crate::support::agent::{Agent, rule_file};
use crate::support::background::{Background, wait_for_end};
use crate::support::haproxy::identity;
use crate::support::process::{AGENT, guarded, guarded_as, is_left_out, run, signal};
use crate::support::spop::Message;
use crate::support::waiting::wait_until;

/// A user and a group that nobody has.
const USER: u32 = 54_321;
const GROUP: u32 = 54_322;

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny,log,auditlog\"\n";

fn is_root() -> bool {
    let root = identity("-u") == "0";
    if !root {
        println!("only for root");
    }
    root
}

fn status(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {key} in {status}")).trim().to_owned()
}

/// Checks that a process has this user and group alone, and no right beyond.
#[track_caller]
fn assert_is_ordinary(pid: u32) {
    assert_eq!(status(pid, "Uid"), [USER; 4].map(|id| id.to_string()).join("\t"));
    assert_eq!(status(pid, "Gid"), [GROUP; 4].map(|id| id.to_string()).join("\t"));
    assert!(["", &GROUP.to_string()].contains(&status(pid, "Groups").as_str()), "{}", status(pid, "Groups"));
    for rights in ["CapEff", "CapPrm", "CapAmb"] {
        assert_eq!(status(pid, rights), "0".repeat(16), "{rights}");
    }
}

#[test]
fn an_agent_of_another_user_binds_before_and_reads_its_rules_after() {
    if is_left_out(!is_root(), "root") {
        return;
    }
    let agent = Background::new(RULES);
    // Where only root may write: there are its socket and its number.
    let logs = agent.path("logs");
    fs::create_dir(&logs).unwrap();
    let audit = agent.argument("logs/audit.log");
    let audited = format!("SecAuditEngine RelevantOnly\nSecAuditLogParts AZ\nSecAuditLog {audit}\n");
    fs::write(agent.path("rules.conf"), format!("{RULES}{audited}")).unwrap();
    let (user, group) = (USER.to_string(), GROUP.to_string());
    let options = ["--user", &user, "--group", &group, "-n", "1", "--stall-limit", "200ms"];

    let refused = agent.start_and_read(&options);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "it has opened a log that it cannot open again: {said}");
    assert!(said.contains(&audit), "{said}");

    chown(&logs, Some(USER), Some(GROUP)).unwrap();
    assert_eq!(agent.start(&options), Some(0), "{}", agent.log());
    let pid = agent.pid();
    assert_is_ordinary(pid);
    assert!(!agent.log().contains("running as root"), "{}", agent.log());
    let bad = Message::get("/", Some("q=bad"));
    let mut link = agent.link();
    assert_eq!(link.ask(&bad).code(), Some(403));
    let size = || fs::metadata(&audit).map_or(0, |file| file.len());
    wait_until("a record", || size() > 0);

    // A reload opens the log again.
    fs::rename(&audit, agent.path("logs/audit.log.1")).unwrap();
    agent.signal("HUP");
    agent.wait_for_log(" rules reloaded, ");
    wait_until("a record in the new log", || {
        assert_eq!(link.ask(&bad).code(), Some(403));
        size() > 0
    });

    // An engine that stands still is killed, and another takes its place.
    let engine = engine_of(pid);
    assert_is_ordinary(engine);
    signal(engine, "STOP");
    assert_eq!(link.ask(&bad).code(), Some(403), "it had not begun, so the next one gets it");
    wait_for_end(engine);

    agent.signal("TERM");
    wait_for_end(pid);
    // Its user may not remove what is in that folder, and nothing in it names a process.
    assert_eq!(fs::read_to_string(agent.path("agent.pid")).unwrap(), "");
    assert_eq!(agent.start(&options), Some(0), "{}", agent.log());
    assert_eq!(agent.link().ask(&bad).code(), Some(403));
}

/// The one engine of an agent: what its zygote has forked.
fn engine_of(agent: u32) -> u32 {
    let mut found = None;
    wait_until("one engine", || {
        let children = |pid: u32| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let lists =
                tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
            lists.collect::<Vec<_>>().join(" ").split_whitespace().map(|pid| pid.parse().unwrap()).collect()
        };
        let zygotes: Vec<u32> = children(agent);
        let engines: Vec<u32> = zygotes.into_iter().flat_map(children).collect();
        found = engines.first().copied().filter(|_| engines.len() == 1);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn an_agent_in_threads_keeps_its_user_through_a_reload() {
    if is_left_out(!is_root(), "root") {
        return;
    }
    let agent = Background::new(RULES);
    let (user, group) = (USER.to_string(), GROUP.to_string());
    let options = ["--user", &user, "--group", &group, "--isolation", "thread"];
    assert_eq!(agent.start(&options), Some(0), "{}", agent.log());
    for round in 1..=2 {
        wait_until("it is ready", || agent.log().matches(" ready, ").count() == round);
        assert_is_ordinary(agent.pid());
        assert_eq!(agent.link().ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
        agent.signal("HUP");
    }
}

#[test]
fn only_root_becomes_another() {
    let (_folder, rules) = rule_file(RULES);
    fs::set_permissions(rules.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    let rules = rules.to_str().unwrap();
    let user = if is_root() { USER.to_string() } else { identity("-u") };
    for options in [["--user", "root"], ["--group", "root"]] {
        let mut command = match is_root() {
            true => guarded_as(USER, AGENT),
            false => guarded(AGENT),
        };
        let output = command.args(["--check", "-f", rules]).args(options).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "user {user}: {said}");
        assert!(said.contains(options[0]) && said.contains("only an agent that starts as root"), "{said}");
    }
    let engines = refused(&["--user", "1", "--engine-user", "2", "-f", rules], &[], 2);
    assert!(is_root() != engines.contains("only an agent that starts as root"), "{engines}");
}

/// The mode, the user and the group of a file.
fn access(path: &Path) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    assert!(found.file_type().is_socket());
    (found.mode() & 0o7777, found.uid(), found.gid())
}

#[test]
fn a_unix_socket_is_for_those_who_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let (own, group) = (identity("-u").parse().unwrap(), identity("-g").parse().unwrap());
    for (more, mode) in [("", 0o660), (",mode=600", 0o600), (",mode=666", 0o666), (",mode=0", 0)] {
        // As HAProxy writes it, too.
        for form in ["unix:", "unix@"] {
            let agent = Agent::start_exactly(&["--listen", &format!("{form}{}{more}", path.display())], &[]);
            assert_eq!(access(&path), (mode, own, group), "{more}");
            if mode & 0o200 != 0 || own == 0 {
                assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
            }
        }
    }
    let value = format!("unix:{},mode=620,user={own},group={group}, 127.0.0.1:0", path.display());
    let agent = Agent::start_exactly(&[], &[("MODSECURITY_SPOA_LISTEN", &value)]);
    assert_eq!((access(&path), agent.addresses.len()), ((0o620, own, group), 2));
    drop(agent);
    if is_root() {
        let value = format!("unix:{},user={USER},group={GROUP},mode=640", path.display());
        let _agent = Agent::start_exactly(&["--listen", &value], &[]);
        assert_eq!(access(&path), (0o640, USER, GROUP));
    } else {
        let value = format!("unix:{},user=root", path.display());
        assert!(refused(&["--listen", &value], &[], 1).contains("user="));
        assert!(!path.exists(), "a socket that nobody listens on is left");
    }
}

/// The options of the agent in another root, whose rules are in no other place.
const INSIDE: [&str; 8] =
    ["-f", "/rules.conf", "--apps", "/apps", "--listen", "127.0.0.1:0", "--deadline", "30s"];

/// A command that runs the agent with a root of its own, made of what the program needs of the system.
fn in_another_root(root: &Path, options: &[&str]) -> Command {
    for folder in ["apps", "dev", "etc", "lib", "lib64", "proc", "usr"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    // What is mounted goes with the last process that sees it.
    let script = "root=$1; shift; for folder in dev etc lib lib64 proc usr; do \
                  if [ -e /$folder ]; then mount --rbind /$folder \"$root/$folder\" || exit 99; fi; done; \
                  agent=$1; shift; exec \"$agent\" \"$@\"";
    let mut command = guarded("unshare");
    command.args(["--mount", "--", "sh", "-c", script, "sh"]).arg(root).arg(AGENT).args(INSIDE);
    command.arg("--chroot").arg(root).args(options);
    command
}

fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["--mount", "--", "mount", "--rbind", "/usr", "/mnt"]).output();
    let may = is_root() && tried.is_ok_and(|output| output.status.success());
    if !may {
        println!("only where file systems can be mounted");
    }
    may
}

#[test]
fn an_agent_in_another_root_reads_everything_in_there() {
    if is_left_out(!may_mount(), "root and mount namespaces") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let rules = folder.path().join("rules.conf");
    fs::write(&rules, RULES).unwrap();
    let user = USER.to_string();
    let agent = Agent::launch_command(in_another_root(folder.path(), &["-n", "1", "--user", &user])).ready();
    let mut link = agent.link();
    assert_eq!(link.ask(&Message::get("/", Some("q=bad"))).code(), Some(403));
    let root = |pid: u32| fs::read_link(format!("/proc/{pid}/root")).unwrap();
    let all = || agent.helpers().into_iter().chain([agent.pid()]).collect::<Vec<_>>();
    for pid in all() {
        assert_eq!(root(pid), folder.path(), "process {pid}");
    }
    // A reload reads the rules, and the folder of applications, in there as well.
    fs::write(&rules, RULES.replace("bad", "worse")).unwrap();
    fs::write(folder.path().join("apps/shop.conf"), RULES.replace("bad", "broken")).unwrap();
    agent.signal("HUP");
    agent.log.wait_for_text(" application added, app: shop");
    wait_until("the new rules", || link.ask(&Message::get("/", Some("q=worse"))).code() == Some(403));
    // One zygote, its spare, one engine: the old ones are gone.
    wait_until("the end of the old engines", || agent.helpers().len() == 3);
    for pid in all() {
        assert_eq!(root(pid), folder.path(), "process {pid}");
        assert_eq!(status(pid, "Uid").split('\t').next(), Some(user.as_str()));
    }
    assert_eq!(agent.stop().0.code(), Some(0));
}

#[test]
fn a_check_is_made_where_the_agent_would_read() {
    if is_left_out(!may_mount(), "root and mount namespaces") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let check = || {
        let output = in_another_root(folder.path(), &["--check"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("/rules.conf"), "{said}");
    fs::write(folder.path().join("rules.conf"), RULES).unwrap();
    assert_eq!(check().0, Some(0));
}

#[test]
fn what_lacks_in_another_root_is_told() {
    if is_left_out(!is_root(), "root") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let options =
        ["--chroot", folder.path().to_str().unwrap(), "-f", "/rules.conf", "--listen", "127.0.0.1:0"];
    let said = refused(&options, &[], 1);
    assert!(said.contains("libraries") && said.contains("/proc"), "{said}");
    let threads = refused(&[&options[..], &["--isolation", "thread"]].concat(), &[], 2);
    assert!(threads.contains("--chroot") && threads.contains("--isolation thread"), "{threads}");
    assert_eq!(run(&["--chroot", "relative"], &[]).status.code(), Some(2));
}
