//! Is the command line what it says it is, and is every mistake on it told in one clear line with the right exit status?

use crate::support::agent::{Agent, rule_file};
use crate::support::process::{AGENT, run};
use crate::support::spop::Message;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs the agent with options and variables that it must refuse, checks that it says so as it should, and gives what it
/// said.
#[track_caller]
pub fn refused(options: &[&str], environment: &[(&str, &str)], status: i32) -> String {
    let output = run(options, environment);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{options:?}: {text}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{options:?}");
    let complaints: Vec<&str> = text.lines().filter(|line| line.starts_with("modsecurity-spoa: ")).collect();
    assert_eq!(complaints.len(), 1, "{options:?}: not one line of complaint: {text}");
    assert_eq!(text.lines().last(), Some(complaints[0]), "{options:?}: {text}");
    for started in [" listening, ", " worker started, ", " ready, "] {
        assert!(!text.contains(started), "{options:?}: half started: {text}");
    }
    if status == 2 {
        assert_eq!(text.lines().count(), 1, "{options:?}: more than one line: {text}");
    }
    complaints[0].to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn an_unknown_option_is_refused() {
    assert!(refused(&["--bogus"], &[], 2).contains("--bogus"));
    assert!(refused(&["-Z"], &[], 2).contains("-Z"));
}

#[test]
fn an_argument_that_belongs_to_no_option_is_refused() {
    assert!(refused(&["stray"], &[], 2).contains("stray"));
}

#[test]
fn what_two_options_say_together_is_checked_too() {
    assert!(refused(&["-m", "65536", "--max-payload", "65535"], &[], 2).contains("max-payload"));
    assert!(refused(&["-c", "pipelining", "-c", "warp"], &[], 2).contains("warp"));
}

#[test]
fn port_and_listen_exclude_each_other() {
    let complaint = refused(&["-p", "12399", "--listen", "127.0.0.1:0"], &[], 2);
    assert!(complaint.contains("port") && complaint.contains("listen"), "{complaint}");
}

#[test]
fn a_rule_file_that_cannot_be_read_is_refused() {
    for options in [&["-f", "/nowhere/rules.conf"][..], &["--check", "-f", "/nowhere/rules.conf"]] {
        assert!(refused(options, &[], 1).contains("/nowhere/rules.conf"));
    }
    assert!(refused(&["-f", "/tmp", "--listen", "127.0.0.1:0"], &[], 1).contains("/tmp"));
}

#[test]
fn a_bad_rule_is_refused_with_file_and_line() {
    let (_folder, path) = rule_file("SecRuleEngine On\n\nSecRule ARGS \"@rx a\" \"id:1,phase:9,deny\"\n");
    let path = path.to_str().unwrap();
    for options in [&["-f", path, "--listen", "127.0.0.1:0"][..], &["--check", "-f", path]] {
        let complaint = refused(options, &[], 1);
        assert!(complaint.contains(path), "the file is not named: {complaint}");
        let line = complaint.replace(path, "").to_lowercase();
        assert!(["line 3", "line: 3", ":3"].iter().any(|text| line.contains(text)), "no line 3: {complaint}");
    }
}

#[test]
fn a_bad_rule_in_the_second_file_is_refused_with_that_file() {
    let (_first, good) = rule_file("SecRuleEngine On\n");
    let (_second, bad) = rule_file("SecRule ARGS\n");
    let complaint = refused(&["--check", "-f", good.to_str().unwrap(), "-f", bad.to_str().unwrap()], &[], 1);
    assert!(complaint.contains(bad.to_str().unwrap()), "{complaint}");
}

#[test]
fn a_taken_port_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert!(refused(&["-p", &port], &[], 1).contains(&port));
    assert!(
        refused(&["--listen", "127.0.0.1:0", "--listen", &format!("127.0.0.1:{port}")], &[], 1)
            .contains(&port)
    );
}

#[test]
fn a_taken_unix_socket_is_refused_and_its_owner_harmed_not() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("agent.sock").display());
    let owner = Agent::start_at(&[&address]);
    assert!(refused(&["--listen", &address], &[], 1).contains("agent.sock"));
    assert_eq!(owner.link().ask(&Message::get("/", None)).code(), Some(0));
}

#[test]
fn a_unix_socket_in_no_folder_is_refused() {
    assert!(refused(&["--listen", "unix:/nowhere/agent.sock"], &[], 1).contains("/nowhere/agent.sock"));
}

#[test]
fn check_of_good_rules_ends_with_0_and_starts_nothing() {
    let printed = run(&["--print-rules"], &[]).stdout;
    let (_folder, path) = rule_file(&String::from_utf8(printed).unwrap());
    for options in [&["--check"][..], &["--check", "-f", path.to_str().unwrap()]] {
        let output = run(options, &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{options:?}: {text}");
        for started in [" listening, ", " worker started, ", " ready, ", "modsecurity-spoa: "] {
            assert!(!text.contains(started), "{options:?}: {text}");
        }
    }
}

#[test]
fn check_needs_no_free_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = run(&["--check", "-p", &taken.local_addr().unwrap().port().to_string()], &[]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn version_says_its_own_and_the_engines() {
    for option in ["-V", "--version"] {
        let output = run(&[option], &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text.lines().count(), 1, "{text}");
        let start = format!("modsecurity-spoa {} (libmodsecurity 3.", env!("CARGO_PKG_VERSION"));
        assert!(text.starts_with(&start) && text.trim_end().ends_with(')'), "{text}");
    }
}

#[test]
fn the_port_is_on_loopback() {
    // Another process may take the port between our look and the agent's start; not three times.
    for _ in 0..3 {
        let port = free_port();
        let agent = Agent::launch(&["-p", &port.to_string()], &[]);
        if agent.log.wait_for_end_or(" ready, ") {
            agent.log.wait_for_text(&format!("listening, address: 127.0.0.1:{port}"));
            return;
        }
    }
    panic!("the agent does not start on a free port");
}

#[test]
fn several_addresses_are_all_served() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("agent.sock").display());
    let agent = Agent::start_at(&["127.0.0.1:0", "[::1]:0", &unix]);
    assert_eq!(agent.addresses.len(), 3);
    assert_eq!(agent.addresses[2], unix);
    for address in &agent.addresses {
        let mut link = crate::support::spop::Link::connect(address);
        link.shake_hands();
        assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0), "{address}");
    }
}

#[test]
fn several_rule_files_are_all_loaded() {
    let (_first, first) =
        rule_file("SecRuleEngine On\nSecRule ARGS:a \"@streq 1\" \"id:1,phase:1,deny,status:471\"\n");
    let (_second, second) = rule_file("SecRule ARGS:a \"@streq 2\" \"id:2,phase:1,deny,status:472\"\n");
    let agent = Agent::start(&["-f", first.to_str().unwrap(), "--rules", second.to_str().unwrap()]);
    assert_eq!(agent.link().ask(&Message::get("/", Some("a=1"))).code(), Some(471));
    assert_eq!(agent.link().ask(&Message::get("/", Some("a=2"))).code(), Some(472));
    agent.log.wait_for_text("rules loaded, rules_in_files: 2, rules_in_engine: 2, rules_removed: 0, ");
}

#[test]
fn of_several_rule_files_the_last_word_counts() {
    let (_first, first) = rule_file("SecRuleEngine On\nSecRule ARGS:a \"@streq 1\" \"id:1,phase:1,deny\"\n");
    let (_second, second) = rule_file("SecRuleEngine DetectionOnly\n");
    let files = [first.to_str().unwrap(), second.to_str().unwrap()];
    for (order, code) in [(files, 0), ([files[1], files[0]], 403)] {
        let agent = Agent::start(&["-f", order[0], "-f", order[1]]);
        assert_eq!(agent.link().ask(&Message::get("/", Some("a=1"))).code(), Some(code), "{order:?}");
    }
}

#[test]
fn rules_of_ones_own_replace_the_core_rule_set() {
    let agent = Agent::with_rules("SecRuleEngine On\n", &[]);
    assert_eq!(agent.link().ask(&Message::get("/", Some("id=1'%20OR%20'1'%3D'1"))).code(), Some(0));
}

#[test]
fn without_rules_one_line_says_that_the_core_rule_set_is_used() {
    let agent = Agent::start(&[]);
    assert_eq!(agent.log.lines_with("/usr/share/modsecurity-crs").len(), 1, "{:#?}", agent.log.lines());
    assert_eq!(agent.link().ask(&Message::get("/", Some("id=1'%20OR%20'1'%3D'1"))).code(), Some(403));
}

#[test]
fn five_workers_start_without_the_option() {
    let agent = Agent::start(&[]);
    agent.log.wait_for_text(" ready, workers: 5");
    assert_eq!(agent.log.lines_with(" worker started, ").len(), 5);
}

#[test]
fn auto_starts_as_many_workers_as_there_are_cores() {
    let (_folder, rules) = rule_file("SecRuleEngine On\n");
    let agent = Agent::start(&["-f", rules.to_str().unwrap(), "-n", "auto"]);
    let cores = std::thread::available_parallelism().unwrap().get().min(1024);
    agent.log.wait_for_text(&format!(" ready, workers: {cores},"));
    assert_eq!(agent.engines().len(), cores);
}

#[test]
fn as_many_workers_start_as_are_asked_for() {
    let agent = Agent::start(&["-n", "3"]);
    agent.log.wait_for_text(" ready, workers: 3");
    for worker in 1..=3 {
        assert_eq!(
            agent.log.lines_with(&format!("worker started, worker: {worker}, generation: 1")).len(),
            1
        );
    }
}

#[test]
fn debug_lines_come_with_the_option_only() {
    let debug = |options: &[&str]| {
        let agent = Agent::start(options);
        assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
        agent.stop().1.iter().any(|line| line.contains(" DEBG "))
    };
    assert!(debug(&["-d"]));
    assert!(debug(&["--debug"]));
    assert!(!debug(&[]));
}

/// The time that three requests, one after the other, need with one worker and this throttle.
fn three_requests(throttle: &str) -> Duration {
    let agent = Agent::start(&["-n", "1", "-t", throttle]);
    let mut link = agent.link();
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0));
    }
    start.elapsed()
}

#[test]
fn a_throttle_makes_each_request_wait() {
    for throttle in ["150", "150ms", "150000us"] {
        let time = three_requests(throttle);
        assert!(
            time >= Duration::from_millis(450) && time < Duration::from_secs(20),
            "-t {throttle}: {time:?}"
        );
    }
    let time = three_requests("1s");
    assert!(time >= Duration::from_secs(3) && time < Duration::from_secs(30), "-t 1s: {time:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_a_full_disk_is() {
    let print = |option: &str, stdout: Stdio| {
        let output = Command::new(AGENT).arg(option).stdout(stdout).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for option in ["--help", "--version"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(print(option, writer.into()), (Some(0), String::new()), "{option}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (status, complaint) = print(option, full.into());
        assert_eq!(status, Some(1), "{option}: {complaint}");
        assert!(complaint.starts_with("modsecurity-spoa: cannot print: No space left"), "{complaint}");
    }
}
