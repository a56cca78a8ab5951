//! Does each target of `--log` get every event in its own form, and what belongs to its level?

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::Value as Json;

use crate::support::PATIENCE;
use crate::support::agent::{Agent, rule_file};
use crate::support::process::{AGENT, guarded, install, run};
use crate::support::spop::Message;
use crate::support::waiting::wait_until;
use crate::support::wire::{headers, text};

const RULES: &str = r#"SecRuleEngine On
SecRule ARGS:q "@contains bad" "id:7,phase:1,deny,status:418,log,msg:'no good',logdata:'Matched Data: %{MATCHED_VAR} found within %{MATCHED_VAR_NAME}: %{MATCHED_VAR}'"
"#;

/// A request that the rules deny, and what its URI is once it is read back.
fn bad() -> (Message, &'static str) {
    let list = [("host", "shop.test"), ("user-agent", "a")];
    let request = Message::get("/\"a\\b\n<7>1 forged", Some("q=bad")).with("headers", headers(&list));
    let request = request.with("unique-id", text("one]two"));
    (request, r#"/"a\\b\n<7>1 forged?q=bad"#)
}

/// The objects of a file with one on each line.
fn objects(path: &Path) -> Vec<BTreeMap<String, Json>> {
    let content = fs::read_to_string(path).unwrap();
    assert!(content.chars().all(|char| char == '\n' || !char.is_control()), "{content:?}");
    content
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn json_has_one_object_a_line_with_typed_values() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.json");
    let agent = Agent::with_rules(RULES, &["--log", "stderr", "--log", &format!("json:{}", file.display())]);
    let (request, uri) = bad();
    assert_eq!(agent.link().ask(&request).code(), Some(418));
    assert_eq!(agent.stop().0.code(), Some(0));
    let objects = objects(&file);
    for object in &objects {
        let text = |key: &str| object[key].as_str().unwrap_or_else(|| panic!("no {key}: {object:?}"));
        let (time, _) = (text("time"), (text("event"), text("msg"), text("module")));
        let form: String = time.chars().map(|char| if char.is_ascii_digit() { '9' } else { char }).collect();
        assert_eq!(form, "9999-99-99T99:99:99.999Z");
        assert!(["error", "warn", "info"].contains(&text("level")), "{object:?}");
    }
    let of = |event: &str| objects.iter().find(|object| object["event"] == event).unwrap();
    assert_eq!(of("ready")["workers"], 5);
    assert_eq!(of("stopping")["signal"], "SIGTERM");
    let denied = of("request_denied");
    assert_eq!(denied["status"], 418);
    assert_eq!(denied["rules"], serde_json::json!([7]));
    assert_eq!(denied["uri"], uri);
    assert_eq!(denied["host"], "shop.test");
    assert_eq!(denied["unique_id"], "one]two");
    let matched = of("rule_matched");
    assert_eq!((&matched["rule"], &matched["message"]), (&Json::from(7), &Json::from("no good")));
    assert_eq!(matched["data"], "Matched Data: bad found within ARGS:q: bad");
}

#[test]
fn json_goes_to_standard_error_too() {
    let (_folder, rules) = rule_file(RULES);
    let agent = Agent::launch(
        &["--listen", "127.0.0.1:0", "-f", rules.to_str().unwrap(), "--log", "json:stderr"],
        &[],
    );
    agent.log.wait_for_text("\"event\":\"ready\"");
    for line in agent.stop().1 {
        serde_json::from_str::<Json>(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// A socket as syslog daemons and the journal have it, and the option that names it.
fn socket(kind: &str, path: &Path) -> (UnixDatagram, String) {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (socket, format!("{kind}:{}", path.display()))
}

/// Receives until a datagram is the wanted one: all of them.
fn receive_all(socket: &UnixDatagram, is_last: impl Fn(&str) -> bool) -> Vec<String> {
    let mut buffer = vec![0; 1 << 16];
    let mut all = Vec::new();
    loop {
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{error} after {all:#?}"));
        all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        if all.last().is_some_and(|datagram| is_last(datagram)) {
            return all;
        }
    }
}

/// Receives until a datagram has this text.
fn receive(socket: &UnixDatagram, wanted: &str) -> String {
    receive_all(socket, |datagram| datagram.contains(wanted)).pop().unwrap()
}

/// Header, structured data and message of RFC 5424.
fn rfc5424(datagram: &str) -> (Vec<String>, BTreeMap<String, String>, String) {
    let (header, rest) = datagram.split_once(" [").unwrap();
    let mut data = BTreeMap::new();
    let (id, mut rest) = rest.split_once(' ').unwrap();
    assert!(id.contains('@'), "{id}");
    loop {
        let (name, value) = rest.split_once("=\"").unwrap();
        let (mut text, mut chars) = (String::new(), value.char_indices());
        let end = loop {
            match chars.next().unwrap() {
                (_, '\\') => text.push(chars.next().unwrap().1),
                (at, '"') => break at,
                (_, ']') => panic!("not escaped: {value}"),
                (_, other) => text.push(other),
            }
        };
        data.insert(name.to_owned(), text);
        rest = &value[end + 1..];
        match rest.strip_prefix("] ") {
            Some(message) => {
                return (header.split(' ').map(str::to_owned).collect(), data, message.to_owned());
            }
            None => rest = rest.strip_prefix(' ').unwrap(),
        }
    }
}

#[test]
fn syslog_gets_datagrams_of_rfc_5424() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (daemon, target) = socket("syslog", &path);
    let agent = Agent::with_rules(RULES, &["--log", "stderr", "--log", &target]);
    let (request, uri) = bad();
    agent.link().ask(&request);
    let datagram = receive(&daemon, "request denied");
    assert!(!datagram.chars().any(char::is_control), "{datagram:?}");
    let (header, data, message) = rfc5424(&datagram);
    let [priority, time, _, name, process, event] = &header[..] else { panic!("{header:?}") };
    // Facility daemon, severity info, version 1.
    assert_eq!(
        (priority.as_str(), name.as_str(), event.as_str()),
        ("<30>1", "modsecurity-spoa", "request_denied")
    );
    assert!(time.ends_with('Z'), "{time}");
    assert_eq!(*process, agent.pid().to_string());
    assert_eq!((data["status"].as_str(), data["uri"].as_str()), ("418", uri));
    assert_eq!(data["unique_id"], "one]two");
    assert!(message.starts_with("request denied, worker: ") && message.contains("status: 418"), "{message}");
    // The daemon is started anew: what it misses is counted, and it is found again. It may be back before the agent's thread
    // writes the line that it was to miss.
    let (mut daemon, mut attempt) = (Some(daemon), 0);
    wait_until("a line that is lost", || {
        drop(daemon.take());
        fs::remove_file(&path).unwrap();
        let denials = || agent.log.lines_with(" rule matched, ").len();
        let before = denials();
        agent.link().ask(&request);
        wait_until("the denial in another target", || denials() > before);
        let back = socket("syslog", &path).0;
        attempt += 1;
        let last = format!("attempt-{attempt}");
        agent.link().ask(&bad().0.with("unique-id", text(&last)));
        let all =
            receive_all(&back, |datagram| datagram.contains(&last) && datagram.contains("rule_matched"));
        daemon = Some(back);
        let lost =
            all.iter().find(|datagram| datagram.contains("are lost")).map(|datagram| rfc5424(datagram));
        lost.is_some_and(|(header, data, _)| {
            assert_eq!((header[0].as_str(), header[5].as_str()), ("<28>1", "log_lines_lost"));
            data["lines"].parse::<u32>().unwrap() > 0
        })
    });
}

#[test]
fn the_journal_gets_fields() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, target) = socket("journal", &folder.path().join("socket"));
    let agent = Agent::with_rules(RULES, &["--log", "stderr", "--log", &target]);
    let (request, uri) = bad();
    agent.link().ask(&request);
    let datagram = receive(&journal, "request denied");
    let fields: BTreeMap<_, _> = datagram.lines().map(|line| line.split_once('=').unwrap()).collect();
    for name in fields.keys() {
        assert!(name.chars().all(|char| char.is_ascii_uppercase() || char == '_'), "{name}");
        assert!(!name.starts_with('_'), "the journal ignores {name}");
    }
    assert!(fields["MESSAGE"].starts_with("request denied, "), "{datagram}");
    assert_eq!((fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"]), ("6", "modsecurity-spoa"));
    assert_eq!((fields["MODSECURITY_EVENT"], fields["MODSECURITY_STATUS"]), ("request_denied", "418"));
    assert_eq!(fields["MODSECURITY_URI"], uri);
}

#[test]
fn each_target_has_its_level_and_modules_have_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (few, many) = (path("few.log"), path("many.log"));
    // As one writes it in a file of variables.
    let variable = format!("stderr, {},level=warn, {},level=debug", few.display(), many.display());
    let (_rules, file) = rule_file(RULES);
    let options = ["--listen", "127.0.0.1:0", "-n", "1", "-f", file.to_str().unwrap(), "--deadline", "30s"];
    let environment =
        [("MODSECURITY_SPOA_LOG", variable.as_str()), ("MODSECURITY_SPOA_LOG_LEVEL", "info,actors=debug")];
    let agent = Agent::start_exactly(&options, &environment);
    agent.link().ask(&bad().0);
    agent.log.wait_for_text(" DEBG link closed");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    wait_until("level debug", || read(&many).contains(" DEBG descriptors"));
    let engines = agent.engines();
    crate::support::process::signal(engines[0], "KILL");
    wait_until("level warn", || read(&few).contains(" WARN worker restarted"));
    assert!(read(&few).contains(" ERRO worker crashed"), "{}", read(&few));
    assert!(!read(&few).contains(" INFO ") && !read(&few).contains(" DEBG "), "{}", read(&few));
    let debug = agent.log.lines_with(" DEBG ");
    assert!(!debug.iter().any(|line| line.contains("descriptors")), "of another module: {debug:#?}");
}

#[test]
fn a_log_that_cannot_be_opened_is_one_line() {
    let output = run(&["--listen", "127.0.0.1:0", "--log", "json:/nowhere/agent.log"], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("cannot open the log json:/nowhere/agent.log: "), "{said}");
    for options in [["--log", "stderr", "--log", "stderr"], ["--log", "stderr", "--log", "stderr,level=warn"]]
    {
        let output = run(&[&options[..], &["--listen", "127.0.0.1:0"]].concat(), &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("stderr is named twice"), "{said}");
    }
}

/// The limit holds for no process of root's.
#[test]
fn a_system_without_a_thread_for_the_log_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("agent");
    install(AGENT, &binary);
    for path in [folder.path(), &binary] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = guarded("prlimit");
    command.arg("--nproc=1");
    if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() == 0 {
        let user = (4_000_000 + std::process::id()).to_string();
        command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
    }
    let output = command.arg(&binary).args(["--listen", "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("cannot start the thread of the log stderr"), "{said}");
}
