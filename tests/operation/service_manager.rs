//! Does the service manager learn what goes on, and who asks for a reload how it went?

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use crate::support::agent::Agent;
use crate::support::manager::{Manager, assigned};
use crate::support::process::AGENT;
use crate::support::spop::Message;

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny\"\n";
const WRONG: &str = "SecRuleEngine On\nSecRulez nonsense\n";

/// An agent with a manager.
struct Service {
    agent: Agent,
    manager: Manager,
    rules: PathBuf,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start(content: &str, options: &[&str], more: &[(&str, &str)]) -> Self {
        let (manager, folder) = (Manager::default(), tempfile::tempdir().unwrap());
        let rules = folder.path().join("rules.conf");
        fs::write(&rules, content).unwrap();
        let own = manager.environment();
        let mut environment: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        environment.extend(more);
        let mut all = vec!["--listen", "127.0.0.1:0", "--deadline", "30s", "-n", "2"];
        all.extend(["-f", rules.to_str().unwrap()]);
        all.extend(options);
        let agent = Agent::launch(&all, &environment);
        Self { agent, manager, rules, _folder: folder }
    }

    fn ready(options: &[&str]) -> Self {
        let mut service = Self::start(RULES, options, &[]);
        service.manager.wait_for("READY=1");
        service.agent = service.agent.ready();
        service
    }

    fn answers(&self) {
        let codes = ["q=good", "q=bad"].map(|query| {
            let mut link = self.agent.link();
            link.ask(&Message::get("/", Some(query))).code()
        });
        assert_eq!(codes, [Some(0), Some(403)]);
    }

    /// What `reload` says, and its exit status.
    fn reload(&self) -> (Option<i32>, String) {
        let [_, (name, folder)] = self.manager.environment();
        run_reload(&[&self.agent.pid().to_string()], &[(name, &folder)])
    }
}

fn run_reload(args: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "60", AGENT, "reload"]).args(args).env_remove("RUNTIME_DIRECTORY");
    let Output { status, stdout, stderr } = command.envs(environment.iter().copied()).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn monotonic_usec(message: &[String]) -> u64 {
    assigned(message, "MONOTONIC_USEC").unwrap_or_else(|| panic!("{message:?}")).parse().unwrap()
}

#[test]
fn the_manager_learns_of_start_reload_and_stop() {
    let service = Service::ready(&[]);
    service.answers();
    let mut last = 0;
    for (rules, outcome) in [(RULES, "serving, "), (WRONG, "rules.conf"), (RULES, "serving, ")] {
        fs::write(&service.rules, rules).unwrap();
        service.agent.signal("HUP");
        let begun = monotonic_usec(&service.manager.wait_for("RELOADING=1"));
        assert!(begun > last, "the clock stands still");
        last = begun;
        let over = service.manager.wait_for("READY=1");
        let status = assigned(&over, "STATUS").unwrap();
        assert!(status.contains(outcome) && status.contains("failed") == (rules == WRONG), "{status}");
    }
    service.answers();
    service.agent.signal("TERM");
    service.manager.wait_for("STOPPING=1");
    assert_eq!(service.agent.stop_status(), Some(0));
}

#[test]
fn a_start_that_fails_is_never_ready() {
    let mut service = Service::start(WRONG, &[], &[]);
    assert_eq!(service.agent.wait().code(), Some(1));
    // Nothing is sent after this.
    let [(_, manager), _] = service.manager.environment();
    std::os::unix::net::UnixDatagram::unbound().unwrap().send_to(b"END=1", manager).unwrap();
    service.manager.wait_for("END=1");
}

#[test]
fn a_process_that_was_replaced_is_ready_again() {
    let service = Service::ready(&["--isolation", "thread"]);
    service.agent.signal("HUP");
    service.manager.wait_for("RELOADING=1");
    service.manager.wait_for("READY=1");
    service.answers();
}

#[test]
fn the_watchdog_hears_of_a_tree_that_answers_and_what_it_does() {
    let service = Service::start(RULES, &[], &[("WATCHDOG_USEC", "300000")]);
    service.manager.wait_for("READY=1");
    for _ in 0..5 {
        let message = service.manager.wait_for("WATCHDOG=1");
        assert!(assigned(&message, "STATUS").unwrap().ends_with(" verdicts a second"), "{message:?}");
    }
}

#[test]
fn who_asks_for_a_reload_learns_how_it_went() {
    for isolation in ["process", "thread"] {
        let service = Service::ready(&["--isolation", isolation]);
        assert_eq!(service.reload(), (Some(0), "rules reloaded\n".to_owned()), "{isolation}");
        fs::write(&service.rules, WRONG).unwrap();
        let (status, said) = service.reload();
        assert_eq!(status, Some(1), "{isolation}: {said}");
        assert!(said.contains("the old rules stay") && said.contains("rules.conf"), "{isolation}: {said}");
        fs::write(&service.rules, RULES).unwrap();
        assert_eq!(service.reload(), (Some(0), "rules reloaded\n".to_owned()), "{isolation}");
    }
}

#[test]
fn a_reload_that_cannot_be_asked_for_is_refused() {
    let folder = [("RUNTIME_DIRECTORY", "/nowhere")];
    for args in [&[][..], &["self"], &["0"], &["1"], &["-5"], &["7", "8"]] {
        assert_eq!(run_reload(args, &folder).0, Some(2), "{args:?}");
    }
    // No process has this id: it is above the kernel's highest.
    let (status, said) = run_reload(&["4194305"], &folder);
    assert!(status == Some(1) && said.contains("SIGHUP"), "{said}");
    let (status, said) = run_reload(&["4194305"], &[]);
    assert!(status == Some(1) && said.contains("RUNTIME_DIRECTORY"), "{said}");
}

#[test]
fn a_reload_of_an_agent_that_ends_is_not_waited_for() {
    let service = Service::ready(&[]);
    service.agent.signal("STOP");
    let [_, (name, folder)] = service.manager.environment();
    let pid = service.agent.pid().to_string();
    let asking = thread::spawn(move || run_reload(&[&pid], &[(name, &folder)]));
    service.agent.signal("KILL");
    drop(service.agent);
    let (status, said) = asking.join().unwrap();
    assert_eq!(status, Some(1), "{said}");
}
