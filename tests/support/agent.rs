//! The real agent, started as an operator starts it.

use super::log::{Log, value};
use super::process::{AGENT, clean_environment, end, guarded, guarded_as, signal, spawn, wait};
use super::spop::Link;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// A running agent. Ends when dropped.
pub struct Agent {
    child: Child,
    /// What it writes to stderr.
    pub log: Log,
    /// Where it listens, as its log says, in the order of the log.
    pub addresses: Vec<String>,
    _rules: Option<TempDir>,
}

impl Agent {
    /// Starts it on a port that the kernel chooses, and waits until it is ready.
    ///
    /// Without a `--deadline` of the test's own it has a long one: a test that asks for a verdict must not fail
    /// because a compiler runs beside it.
    pub fn start(options: &[&str]) -> Self {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        if !options.contains(&"--deadline") {
            all.extend(["--deadline", "30s"]);
        }
        // Tests count what is logged.
        if !options.contains(&"--log-limit") {
            all.extend(["--log-limit", "0"]);
        }
        all.extend_from_slice(options);
        Self::start_exactly(&all, &[])
    }

    /// Starts it listening at these addresses alone, with as long a deadline.
    pub fn start_at(addresses: &[&str]) -> Self {
        let listen = addresses.iter().flat_map(|address| ["--listen", address]);
        Self::start_exactly(&listen.chain(["--deadline", "30s"]).collect::<Vec<_>>(), &[])
    }

    /// Starts it with a rule file of this content.
    pub fn with_rules(rules: &str, options: &[&str]) -> Self {
        let (folder, path) = rule_file(rules);
        let mut all = vec!["-f", path.to_str().unwrap()];
        all.extend_from_slice(options);
        let mut agent = Self::start(&all);
        agent._rules = Some(folder);
        agent
    }

    /// Starts it with these options and variables alone, and waits until it is ready.
    pub fn start_exactly(options: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_as(None, options, environment)
    }

    /// Starts it as this user, if one is given: only root can do that.
    pub fn start_as(user: Option<u32>, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let agent = match user {
            Some(user) => {
                Self::follow(launch_in(guarded_as(user, AGENT), options, environment, Stdio::piped()))
            }
            None => Self::launch(options, environment),
        };
        agent.ready()
    }

    /// Starts this command, which starts the agent, without waiting for anything.
    pub fn launch_command(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        clean_environment(&mut command);
        Self::follow(spawn(command))
    }

    /// The same with this as its standard input.
    pub fn launch_command_on(mut command: Command, input: OwnedFd) -> Self {
        command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
        clean_environment(&mut command);
        Self::follow(spawn(command))
    }

    fn follow(mut child: Child) -> Self {
        let log = Log::follow(child.stderr.take().unwrap());
        Self { child, log, addresses: Vec::new(), _rules: None }
    }

    /// Waits until it is ready.
    pub fn ready(mut self) -> Self {
        let agent = &mut self;
        agent.log.wait_for("`ready`", |line| line.contains(" ready, "));
        let listening = agent.log.lines_with(" listening, ");
        agent.addresses = listening.iter().map(|line| value(line, "address").unwrap().to_owned()).collect();
        assert!(!agent.addresses.is_empty(), "ready, but listening nowhere: {:?}", agent.log.lines());
        self
    }

    /// Starts it without waiting for anything.
    pub fn launch(options: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::follow(launch(options, environment, Stdio::piped()))
    }

    /// The first address that it listens on.
    pub fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// A connection to it, before the handshake.
    pub fn connect(&self) -> Link {
        Link::connect(self.address())
    }

    /// A connection to it, after the handshake.
    pub fn link(&self) -> Link {
        let mut link = self.connect();
        link.shake_hands();
        link
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to stop, and gives its exit status and its whole log.
    pub fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        let status = self.wait();
        (status, self.log.wait_for_end())
    }

    /// Waits until it has ended, after a signal was sent, and gives its exit status.
    pub fn stop_status(mut self) -> Option<i32> {
        self.wait().code()
    }

    /// The process ids of its zygote, of the spare, and of its engines.
    pub fn helpers(&self) -> Vec<u32> {
        family(self.pid()).into_iter().filter(|&pid| pid != self.pid()).collect()
    }

    /// The process ids of its engines.
    pub fn engines(&self) -> Vec<u32> {
        // By their place, as they take their name only a moment after their start.
        children(self.pid()).into_iter().flat_map(children).collect()
    }

    /// The process ids of the engines of an agent that was only launched.
    pub fn engines_of(pid: u32) -> Vec<u32> {
        children(pid).into_iter().flat_map(children).collect()
    }

    /// The process id of its zygote.
    pub fn zygote(&self) -> u32 {
        self.child_named("zygote").unwrap()
    }

    /// The process id of its spare zygote.
    pub fn spare(&self) -> Option<u32> {
        self.child_named("zygote-spare")
    }

    fn child_named(&self, name: &str) -> Option<u32> {
        let name_of = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        children(self.pid()).into_iter().find(|pid| name_of(*pid).trim_end() == name)
    }

    /// The resident memory of it and of all processes that it has started, in KiB.
    pub fn resident_kib(&self) -> u64 {
        family(self.pid()).iter().map(|pid| resident_kib(*pid)).sum()
    }

    /// The memory of one process that no file backs, in KiB.
    pub fn own_kib(pid: u32) -> u64 {
        status_kib(pid, "RssAnon:") + status_kib(pid, "RssShmem:")
    }

    /// That of its front process alone, which has the links.
    pub fn front_resident_kib(&self) -> u64 {
        resident_kib(self.pid())
    }
}

/// CPU time used so far, in seconds.
#[derive(Clone, Copy)]
pub struct CpuTime {
    /// By the agent's own process.
    pub front: f64,
    /// By all that it has started: the zygote and the engines.
    pub engines: f64,
    /// By this process, the client.
    pub client: f64,
}

impl CpuTime {
    /// What was used since then.
    pub fn since(self, then: Self) -> Self {
        Self {
            front: self.front - then.front,
            engines: self.engines - then.engines,
            client: self.client - then.client,
        }
    }
}

impl Agent {
    /// The CPU time of all who take part.
    pub fn cpu_time(&self) -> CpuTime {
        let all = family(self.pid());
        let (front, engines) = all.split_first().unwrap();
        CpuTime {
            front: cpu_time(*front),
            engines: engines.iter().map(|pid| cpu_time(*pid)).sum(),
            client: cpu_time(std::process::id()),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Starts an agent that logs there.
pub fn launch(options: &[&str], environment: &[(&str, &str)], log: impl Into<Stdio>) -> Child {
    launch_in(guarded(AGENT), options, environment, log)
}

fn launch_in(
    mut command: Command,
    options: &[&str],
    environment: &[(&str, &str)],
    log: impl Into<Stdio>,
) -> Child {
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    clean_environment(&mut command).envs(environment.iter().copied());
    spawn(command)
}

/// A rule file of this content, in a folder that goes when the guard does.
pub fn rule_file(rules: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.conf");
    std::fs::write(&path, rules).unwrap();
    (folder, path)
}

fn family(pid: u32) -> Vec<u32> {
    std::iter::once(pid).chain(children(pid).into_iter().flat_map(family)).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

fn resident_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

/// A size in /proc/PID/status.
fn status_kib(pid: u32, name: &str) -> u64 {
    let status =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()).map_or(0, |number| number.parse().unwrap())
}

/// In the user's code and in the kernel, from /proc/PID/stat: hundredths of a second (sysconf(_SC_CLK_TCK)).
fn cpu_time(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let times = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    times.map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}
