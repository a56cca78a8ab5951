//! Is what a full disk swallows of the log counted, and told when there is room again?

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use crate::support::agent::rule_file;
use crate::support::log::value;
use crate::support::process::{AGENT, clean_environment, guarded, signal, spawn, wait};
use crate::support::spop::Link;
use crate::support::waiting::wait_until;

/// The size that no file of the agent may exceed: like a full disk, but for this one process. Far above all else that it
/// writes.
const LIMIT: u64 = 1 << 30;

/// An agent whose log is this file, opened as a service manager opens it.
fn launch(log: &File, options: &[&str]) -> Child {
    let mut command = guarded("prlimit");
    command.arg(format!("--fsize={LIMIT}")).arg(AGENT).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone().unwrap());
    clean_environment(&mut command);
    spawn(command)
}

/// The lines behind the first `from` bytes of the file. A line that is torn is the last.
fn lines(file: &File, from: u64) -> Vec<String> {
    let length = file.metadata().unwrap().len().saturating_sub(from);
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    file.read_exact_at(&mut bytes, from).unwrap();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn count_of(lines: &[String]) -> usize {
    let told = lines.iter().filter(|line| line.contains(" WARN lines of this log are lost"));
    told.map(|line| value(line, "lines").unwrap().parse::<usize>().unwrap()).sum()
}

/// What the log of a start and an end has, with `room` bytes for it until there is room for all.
fn start_and_end(room: u64) -> (Vec<String>, Vec<String>) {
    let (folder, rules) = rule_file("SecRuleEngine On\n");
    let socket = folder.path().join("agent");
    let address = format!("unix:{}", socket.display());
    let path = folder.path().join("agent.log");
    let log = OpenOptions::new().create(true).append(true).read(true).open(path).unwrap();
    let mut begin = LIMIT - room;
    log.set_len(begin).unwrap();
    let mut agent = launch(&log, &["--listen", &address, "-f", rules.to_str().unwrap(), "-n", "2"]);
    wait_until("the agent", || UnixStream::connect(&socket).is_ok());
    // It accepts links before it serves them.
    Link::connect(&address).shake_hands();
    let mut before = Vec::new();
    if room < LIMIT / 2 {
        wait_until("a full disk", || log.metadata().unwrap().len() == LIMIT);
        before = lines(&log, begin);
        begin = LIMIT / 2;
        log.set_len(begin).unwrap();
        // Nothing else happens: the count does not wait for another event.
        wait_until("the count", || count_of(&lines(&log, begin)) > 0);
    }
    signal(agent.id(), "TERM");
    assert_eq!(wait(&mut agent).code(), Some(0));
    (before, lines(&log, begin))
}

#[test]
fn lines_that_a_full_disk_swallows_are_counted_and_told() {
    let (_, whole) = start_and_end(LIMIT / 2);
    assert_eq!(count_of(&whole), 0, "{whole:#?}");
    // Room for a line and a half.
    let (mut before, after) = start_and_end(150);
    assert!(before.pop().is_some() && !before.is_empty(), "no line, or none that is torn: {before:#?}");
    let told = after.iter().filter(|line| line.contains("lines of this log are lost")).count();
    let kept = after.iter().filter(|line| !line.is_empty()).count() - told;
    assert_eq!(
        before.len() + count_of(&after) + kept,
        whole.len(),
        "{before:#?} {after:#?}, whole: {whole:#?}"
    );
    assert!(after.iter().all(|line| line.is_empty() || line.contains(" INFO ") || line.contains(" WARN ")));
}
