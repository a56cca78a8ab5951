//! Does the agent serve on sockets that the service manager has bound?

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::support::agent::{Agent, rule_file};
use crate::support::process::{AGENT, guarded};
use crate::support::spop::Message;

const RULES: &str = "SecRuleEngine On\n";

/// Starts an agent as systemd does: with a socket as descriptor 3, and its own process id in a variable.
fn activate(socket: impl Into<OwnedFd>, options: &[&str]) -> Agent {
    let mut command = guarded("/bin/sh");
    let script = "exec 3<&0 </dev/null\nLISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=spop exec \"$@\"";
    command.args(["-c", script, "sh", AGENT, "--deadline", "30s", "-n", "1"]).args(options);
    Agent::launch_command_on(command, socket.into())
}

fn answers(agent: &Agent, address: &str) {
    let mut link = crate::support::spop::Link::connect(address);
    link.shake_hands();
    assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0), "{:?}", agent.log.lines());
}

#[test]
fn a_socket_of_the_manager_takes_the_place_of_the_default_address() {
    let (_folder, rules) = rule_file(RULES);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let agent = activate(socket, &["-f", rules.to_str().unwrap()]).ready();
    assert_eq!(agent.addresses, [address.as_str()]);
    answers(&agent, &address);
    assert_eq!(agent.stop().0.code(), Some(0));
}

#[test]
fn an_address_that_the_manager_has_not_bound_is_bound_beside_it() {
    let (_folder, rules) = rule_file(RULES);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let options = ["-f", rules.to_str().unwrap(), "--listen", &address, "--listen", "[::1]:0"];
    let agent = activate(socket, &options).ready();
    assert_eq!((agent.addresses.len(), agent.addresses[0].as_str()), (2, address.as_str()));
    agent.addresses.iter().for_each(|address| answers(&agent, address));
}

#[test]
fn a_unix_socket_of_the_manager_outlives_the_agent_and_its_replacement() {
    let (folder, rules) = rule_file(RULES);
    let path = folder.path().join("agent.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let options = ["-f", rules.to_str().unwrap(), "--isolation", "thread"];
    let agent = activate(socket, &options).ready();
    let address = format!("unix:{}", path.display());
    assert_eq!(agent.addresses, [address.as_str()]);
    agent.signal("HUP");
    agent.log.wait_for_text(" replacing the process");
    answers(&agent, &address);
    assert_eq!(agent.stop().0.code(), Some(0));
    assert!(Path::exists(&path), "the manager's socket is gone");
}

#[test]
fn a_descriptor_that_does_not_listen_is_named() {
    let file = tempfile::tempfile().unwrap();
    let mut agent = activate(file, &[]);
    assert_eq!(agent.wait().code(), Some(1));
    let log = agent.log.wait_for_end().join("\n");
    assert!(log.contains("descriptor 3 of the service manager (spop)"), "{log}");
}

#[test]
fn descriptors_that_are_meant_for_another_process_are_left_alone() {
    let (_folder, rules) = rule_file(RULES);
    let options = ["--listen", "127.0.0.1:0", "-f", rules.to_str().unwrap()];
    let agent = Agent::start_exactly(&options, &[("LISTEN_PID", "1"), ("LISTEN_FDS", "3")]);
    answers(&agent, agent.address());
}
