//! Child processes that cannot outlive the tests.
//!
//! A fixture in a `static` is never dropped, so its children are started through setpriv(1), which asks the kernel to
//! kill them when their parent dies. "Parent" is the *thread* that forked: the thread of a test ends with that test, so
//! all children are forked by one thread that lives as long as the process.

use super::PATIENCE;
use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

type Order = (Command, Sender<io::Result<Child>>);

/// The agent under test.
pub const AGENT: &str = env!("CARGO_BIN_EXE_modsecurity-spoa");

/// A command for `program` that the kernel kills when this process ends. Start it with [`spawn`].
pub fn guarded(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// The same, run by the user and the group of this number.
pub fn guarded_as(user: u32, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let user = user.to_string();
    command.args([
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
        "--pdeathsig",
        "KILL",
        "--",
        program,
    ]);
    command
}

/// Copies a program that is run after that. By another process: one that a test forks at the same time would have the copy open
/// for writing for a moment, and nobody could run it (ETXTBSY).
pub fn install(program: impl AsRef<OsStr>, copy: impl AsRef<OsStr>) {
    let status = Command::new("cp").arg("--").arg(program).arg(copy).status();
    assert!(status.unwrap().success(), "cp fails");
}

/// Whether a test is left out because the machine or the user `lacks` what it needs, which is told. In CI (`CI` in the
/// environment) none is: there that is a failure.
pub fn is_left_out(lacks: bool, needs: &str) -> bool {
    if lacks {
        assert!(std::env::var_os("CI").is_none(), "this test needs {needs}");
        println!("left out: needs {needs}");
    }
    lacks
}

/// Starts a command of [`guarded`] from the thread that lives as long as this process.
pub fn spawn(command: Command) -> Child {
    static FORKER: OnceLock<Sender<Order>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (orders, received) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                drop(answer.send(command.spawn()));
            }
        });
        orders
    });
    let (answer, child) = channel();
    forker.send((command, answer)).unwrap();
    child.recv().unwrap().expect("cannot start setpriv (package util-linux)")
}

/// Sends a signal (`TERM`, `INT`, `KILL` …) to one process.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(status.unwrap().success(), "kill -{name} {pid} failed");
}

/// Waits until the child has ended, and says how. Panics when it does not end in time.
pub fn wait(child: &mut Child) -> ExitStatus {
    ended(child, PATIENCE).unwrap_or_else(|| panic!("process {} does not end", child.id()))
}

/// Asks the child to end, and kills it when it does not.
pub fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        signal(child.id(), "TERM");
        if ended(child, Duration::from_secs(10)).is_none() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn ended(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        // There is no wait with a time-out in std.
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Runs the agent to its end with these options and these variables. A run that does not end by itself has exit status
/// 124 (see timeout(1)).
pub fn run(options: &[&str], environment: &[(&str, &str)]) -> Output {
    let options: Vec<_> = options.iter().map(OsStr::new).collect();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, OsStr::new(value))).collect();
    run_raw(&options, &environment)
}

/// The same with values that need not be UTF-8.
pub fn run_raw(options: &[&OsStr], environment: &[(&str, &OsStr)]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "20", AGENT]).args(options).stdin(Stdio::null());
    clean_environment(&mut command).envs(environment.iter().copied());
    command.output().expect("cannot start timeout (package coreutils)")
}

/// Which engine the tests are about: 2 or 3, the default.
pub fn engine() -> u8 {
    std::env::var("ENGINE").map_or(3, |engine| engine.parse().expect("ENGINE is 2 or 3"))
}

/// Removes the agent's own variables, so that the developer's shell cannot change a test; but `ENGINE` chooses the engine.
pub fn clean_environment(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MODSECURITY_SPOA_") {
            command.env_remove(name);
        }
    }
    if let Some(engine) = std::env::var_os("ENGINE") {
        command.env("MODSECURITY_SPOA_ENGINE", engine);
    }
    command
}
