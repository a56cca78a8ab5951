//! A real agent whose real engine has real faults (tests/data/faults.cc), and what is needed to see how it bears them.

// Each test crate compiles this module and uses only the part that it needs.
#![allow(dead_code)]

use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::process::engine;
use crate::support::spop::{Message, hello, hello_frame};
use crate::support::waiting::wait_until;
use crate::support::wire::{AGENT_DISCONNECT, AGENT_HELLO, Value, headers};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Workers of each agent.
pub const WORKERS: usize = 4;

/// A light rule set: an attack is `attack=1` in the query, and leaves a record in the audit log.
const RULES: &str = r#"SecRuleEngine On
SecRule ARGS:attack "@streq 1" "id:1,phase:1,deny,status:403,log,auditlog,msg:'an attack'"
SecRule REQUEST_HEADERS:X-Fault "@streq drop" "id:2,phase:1,drop,log,noauditlog"
SecAuditEngine RelevantOnly
SecAuditLogParts AZ
SecAuditLogType Serial
SecAuditLog AUDIT
"#;

/// The library of faults, compiled once per run of the tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        // Under a name of this process's, then renamed: another run of the tests may be using the old one.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (fresh, path) = (
            folder.join(format!("{}.so", std::process::id())),
            folder.join(format!("faults{}.so", engine())),
        );
        let mut command = Command::new("g++");
        command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&fresh);
        command.args(["faults.cc", "attempts.cc"].map(|name| sources.join(name)));
        if engine() == 2 {
            command.args(flags_of_modsecurity2()).args(["-x", "c"]).arg(sources.join("faults2.c"));
        }
        assert!(command.status().expect("no g++").success(), "g++ fails");
        std::fs::rename(&fresh, &path).unwrap();
        path
    })
}

/// What the compiler needs to know of ModSecurity 2.9, as build.rs knows it.
fn flags_of_modsecurity2() -> Vec<String> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/modsecurity2");
    let prefix = std::env::var_os("MODSECURITY2").map_or(usual, PathBuf::from);
    let defines = std::fs::read_to_string(prefix.join("defines")).expect("deploy/modsecurity2.sh makes it");
    let libraries = ["--cflags", "apr-util-1", "apr-1", "libxml-2.0", "libpcre2-8"];
    let output = Command::new("pkg-config").args(libraries).output().expect("no pkg-config");
    let folders = ["modsecurity2", "httpd"].map(|name| prefix.join("include").join(name));
    let own = folders.map(|folder| format!("-isystem{}", folder.display()));
    let known = String::from_utf8(output.stdout).unwrap();
    let known = known.split_whitespace().map(str::to_owned).chain(defines.lines().map(str::to_owned));
    own.into_iter().chain(known).collect()
}

/// An agent with the library of faults in it.
pub struct Subject {
    pub agent: Agent,
    folder: TempDir,
}

impl Subject {
    /// Starts one with four workers and a deadline that no request misses because the machine is busy.
    pub fn start() -> Self {
        Self::with_options(&["--deadline", "10s"])
    }

    /// Starts one with these options, and four workers unless they say how many.
    pub fn with_options(options: &[&str]) -> Self {
        Self::with_options_as(None, options)
    }

    /// Starts one with these options, as this user if the tests run as root.
    pub fn with_options_as(user: Option<u32>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Whoever the agent and its engines are, they reach what is in it.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        if user.is_some() {
            std::os::unix::fs::chown(folder.path(), user, user).unwrap();
        }
        let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let rules = place("rules.conf");
        std::fs::write(&rules, RULES.replace("AUDIT", &place("audit.log"))).unwrap();
        let workers = WORKERS.to_string();
        let mut all = vec!["--listen", "127.0.0.1:0", "-f", &rules, "--log-limit", "0"];
        if !options.contains(&"-n") {
            all.extend(["-n", &workers]);
        }
        all.extend_from_slice(options);
        let environment = [
            ("LD_PRELOAD", library().to_str().unwrap()),
            ("FAULT_AUDIT_LOG", &place("audit.log")),
            ("FAULT_WHILE", &place("every-request-is-bad")),
            ("FAULT_FORK", &place("no-fork")),
        ];
        let agent = Agent::start_as(user, &all, &environment);
        Self { agent, folder }
    }

    /// Its rule file.
    pub fn rules(&self) -> PathBuf {
        self.folder.path().join("rules.conf")
    }

    /// From now on every request kills its engine, or none that does not ask for it.
    pub fn every_request_is_bad(&self, bad: bool) {
        let path = self.folder.path().join("every-request-is-bad");
        if bad { std::fs::write(path, "").unwrap() } else { std::fs::remove_file(path).unwrap() }
    }

    /// From now on no process can be forked, or forking works again.
    pub fn cannot_fork(&self, broken: bool) {
        let path = self.folder.path().join("no-fork");
        if broken { std::fs::write(path, "").unwrap() } else { std::fs::remove_file(path).unwrap() }
    }

    /// Records in the audit log.
    pub fn audit_records(&self) -> usize {
        let text = std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap();
        text.lines().filter(|line| line.ends_with("-A--")).count()
    }

    /// Does a health check as HAProxy does: whether the agent says that it can work.
    pub fn is_healthy(&self) -> bool {
        let mut link = self.agent.connect();
        let mut items = hello();
        items.push(("healthcheck", Value::Bool(true)));
        link.send(&hello_frame(items));
        match link.expect().kind {
            AGENT_HELLO => true,
            AGENT_DISCONNECT => false,
            other => panic!("a health check is answered with a frame of type {other}"),
        }
    }

    /// Workers that crashed, as the log tells.
    pub fn crashes(&self) -> Vec<String> {
        self.agent.log.lines_with(" worker crashed, ")
    }

    /// Waits until the log has told of so many crashes and as many restarts, and checks that each restart is of the next
    /// generation of the worker that crashed.
    pub fn expect_restarts(&self, count: usize) {
        let told = |text: &str| self.agent.log.lines_with(text);
        wait_until("as many restarts as faults", || told(" worker restarted, ").len() >= count);
        let generations = |text: &str, add: u64| {
            let mut all: Vec<_> = told(text)
                .iter()
                .map(|line| (number(line, "worker"), number(line, "generation") + add))
                .collect();
            all.sort_unstable();
            all
        };
        let (crashed, restarted) =
            (generations(" worker crashed, ", 1), generations(" worker restarted, ", 0));
        assert_eq!(restarted.len(), count, "restarts");
        assert_eq!(crashed, restarted, "crashes (one generation on) and restarts");
    }
}

impl Drop for Subject {
    /// Whoever sees a test fail wants to know what the agent said last.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.agent.log.lines();
            println!("the agent's log ends with:\n{}", lines[lines.len().saturating_sub(25)..].join("\n"));
        }
    }
}

fn number(line: &str, key: &str) -> u64 {
    value(line, key).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {key} in {line}"))
}

/// The `number`th request: clean.
pub fn clean(number: u64) -> Message {
    Message::get("/shop", Some(&format!("item={number}")))
}

/// The `number`th request: an attack.
pub fn attack(number: u64) -> Message {
    Message::get("/shop", Some(&format!("item={number}&attack=1")))
}

/// The `number`th request: one that does this to its engine.
pub fn faulty(kind: &str, number: u64) -> Message {
    let list = [("host", "shop.test"), ("accept", "*/*"), ("x-fault", kind), ("user-agent", "curl/7.88.1")];
    clean(number).with("headers", headers(&list))
}
