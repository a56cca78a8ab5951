//! Does what is given in the environment take effect, and does the command line win?
//!
//! That every option can be given there is tested in options.rs.

use crate::support::agent::{Agent, rule_file};
use crate::support::process::run;
use crate::support::spop::{Message, hello};

/// An agent on a port that the kernel chooses, with this one variable; with a long deadline, as [`Agent::start`] has.
fn with(name: &str, value: &str) -> Agent {
    Agent::start_exactly(&["--listen", "127.0.0.1:0", "--deadline", "30s"], &[(name, value)])
}

#[test]
fn workers() {
    with("MODSECURITY_SPOA_WORKERS", "3").log.wait_for_text(" ready, workers: 3");
}

#[test]
fn rules_separated_by_commas() {
    let (_first, first) =
        rule_file("SecRuleEngine On\nSecRule ARGS:a \"@streq 1\" \"id:1,phase:1,deny,status:471\"\n");
    let (_second, second) = rule_file("SecRule ARGS:a \"@streq 2\" \"id:2,phase:1,deny,status:472\"\n");
    let agent = with("MODSECURITY_SPOA_RULES", &format!("{},{}", first.display(), second.display()));
    assert_eq!(agent.link().ask(&Message::get("/", Some("a=1"))).code(), Some(471));
    assert_eq!(agent.link().ask(&Message::get("/", Some("a=2"))).code(), Some(472));
}

#[test]
fn max_frame_size() {
    let agent = with("MODSECURITY_SPOA_MAX_FRAME_SIZE", "1000");
    assert_eq!(agent.connect().greet(hello()).get("max-frame-size").unwrap().int(), 1000);
}

#[test]
fn capability() {
    let agent = with("MODSECURITY_SPOA_CAPABILITY", "pipelining");
    assert_eq!(agent.connect().greet(hello()).get("capabilities").unwrap().str(), "pipelining");
}

#[test]
fn throttle() {
    let agent = with("MODSECURITY_SPOA_THROTTLE", "300ms");
    let start = std::time::Instant::now();
    assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
    assert!(start.elapsed() >= std::time::Duration::from_millis(300));
}

#[test]
fn on_error() {
    let agent = with("MODSECURITY_SPOA_ON_ERROR", "deny=418");
    let ack = agent.link().ask(&Message::get("/", None).named("check-something"));
    assert_eq!((ack.code(), ack.error()), (Some(418), Some("invalid")));
}

#[test]
fn listen_separated_by_commas() {
    let agent = Agent::start_exactly(&[], &[("MODSECURITY_SPOA_LISTEN", "127.0.0.1:0,[::1]:0")]);
    assert_eq!(agent.addresses.len(), 2);
    assert!(agent.addresses[0].starts_with("127.0.0.1:"), "{:?}", agent.addresses);
    assert!(agent.addresses[1].starts_with("[::1]:"), "{:?}", agent.addresses);
}

#[test]
fn port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&[], &[("MODSECURITY_SPOA_PORT", &port)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr).unwrap().contains(&port),
        "the taken port is not the one asked for"
    );
}

#[test]
fn switches() {
    for (value, on) in
        [("1", true), ("true", true), ("yes", true), ("0", false), ("false", false), ("no", false)]
    {
        let agent = with("MODSECURITY_SPOA_DEBUG", value);
        assert_eq!(agent.link().ask(&Message::get("/", None)).code(), Some(0));
        let debug = agent.stop().1.iter().any(|line| line.contains(" DEBG "));
        assert_eq!(debug, on, "MODSECURITY_SPOA_DEBUG={value}");
    }
    assert_eq!(run(&[], &[("MODSECURITY_SPOA_CHECK", "yes")]).status.code(), Some(0));
}

#[test]
fn a_misspelt_variable_is_warned_of() {
    let agent = with("MODSECURITY_SPOA_WORKRES", "3");
    agent.log.wait_for_text(
        " WARN unknown environment variable, name: MODSECURITY_SPOA_WORKRES, did_you_mean: MODSECURITY_SPOA_WORKERS",
    );
    let (_folder, rules) = rule_file("SecRuleEngine On\n");
    let output = run(&["--check", "-f", rules.to_str().unwrap()], &[("MODSECURITY_SPOA_WORKER", "3")]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("MODSECURITY_SPOA_WORKER, did you mean MODSECURITY_SPOA_WORKERS?"), "{said}");
}

#[test]
fn blanks_around_the_items_of_a_list_do_not_count() {
    let agent = Agent::start_exactly(&[], &[("MODSECURITY_SPOA_LISTEN", " 127.0.0.1:0 ,\t[::1]:0, ")]);
    assert_eq!(agent.addresses.len(), 2);
}

#[test]
fn the_command_line_wins() {
    let (_first, first) =
        rule_file("SecRuleEngine On\nSecRule ARGS:a \"@streq 1\" \"id:1,phase:1,deny,status:471\"\n");
    let (_second, second) =
        rule_file("SecRuleEngine On\nSecRule ARGS:a \"@streq 2\" \"id:2,phase:1,deny,status:472\"\n");
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--deadline",
        "30s",
        "--workers",
        "2",
        "--max-frame-size",
        "2000",
        "--on-error",
        "deny=418",
        "--rules",
        first.to_str().unwrap(),
    ];
    let environment = [
        ("MODSECURITY_SPOA_LISTEN", "127.0.0.1:0,[::1]:0"),
        ("MODSECURITY_SPOA_WORKERS", "4"),
        ("MODSECURITY_SPOA_MAX_FRAME_SIZE", "1000"),
        ("MODSECURITY_SPOA_ON_ERROR", "unset"),
        ("MODSECURITY_SPOA_RULES", second.to_str().unwrap()),
    ];
    let agent = Agent::start_exactly(&options, &environment);
    agent.log.wait_for_text(" ready, workers: 2");
    assert_eq!(agent.addresses.len(), 1);
    let mut link = agent.connect();
    assert_eq!(link.greet(hello()).get("max-frame-size").unwrap().int(), 2000);
    assert_eq!(link.ask(&Message::get("/", None).named("check-something")).code(), Some(418));
    assert_eq!(link.ask(&Message::get("/", Some("a=1"))).code(), Some(471));
    assert_eq!(link.ask(&Message::get("/", Some("a=2"))).code(), Some(0));
}

#[test]
fn a_port_on_the_command_line_replaces_addresses_of_the_environment() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["-p", &port], &[("MODSECURITY_SPOA_LISTEN", "127.0.0.1:0")]);
    assert_eq!(output.status.code(), Some(1), "-p is not what it listens on");
    assert!(String::from_utf8(output.stderr).unwrap().contains(&port));
}

#[test]
fn a_file_of_options_counts_before_the_environment_and_after_the_command_line() {
    let (folder, rules) = rule_file("SecRuleEngine On\n");
    let file = folder.path().join("options");
    std::fs::write(
        &file,
        "# Comment\nMODSECURITY_SPOA_WORKERS=\"3\"\nMODSECURITY_SPOA_QUEUE=33\nPATH=/nowhere\n",
    )
    .unwrap();
    let (file, rules) = (file.to_str().unwrap(), rules.to_str().unwrap());
    let environment = [("MODSECURITY_SPOA_OPTIONS", file), ("MODSECURITY_SPOA_WORKERS", "2")];
    let agent =
        Agent::start_exactly(&["--listen", "127.0.0.1:0", "-f", rules, "--queue", "44"], &environment);
    agent.log.wait_for_text(" ready, workers: 3, queue: 44, ");
    let missing = format!("-{}", folder.path().join("none").display());
    let said = |file: &str| {
        let output = run(&["--check", "-f", rules, "--options", file], &[]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(said(&missing).0, Some(0));
    std::fs::write(file, "MODSECURITY_SPOA_WORKERS=none\n").unwrap();
    let (status, complaint) = said(file);
    assert!(status == Some(2) && complaint.contains("MODSECURITY_SPOA_WORKERS: "), "{complaint}");
    std::fs::write(file, "\nMODSECURITY_SPOA_WORKERS 3\n").unwrap();
    let (status, complaint) = said(file);
    assert!(status == Some(1) && complaint.contains("line 2"), "{complaint}");
}
