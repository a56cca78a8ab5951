//! An agent in the background: nobody's child, so it is known by the file with its number.

use super::process::{AGENT, clean_environment, signal};
use super::spop::Link;
use super::waiting::wait_until;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The folder of an agent in the background, with its rules, its number, its socket and its log. Ends the agent when dropped.
pub struct Background {
    folder: TempDir,
}

impl Background {
    /// A folder with these rules, and no agent yet. Every user may look into the folder.
    pub fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).unwrap();
        fs::write(folder.path().join("rules.conf"), rules).unwrap();
        Self { folder }
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as an argument.
    pub fn argument(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The command that starts an agent there, with these options besides.
    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "60", AGENT, "--daemon", "--deadline", "30s"]);
        command.args(["-f", &self.argument("rules.conf"), "--pid-file", &self.argument("agent.pid")]);
        command.args(["--listen", &format!("unix:{}", self.argument("agent.sock"))]).args(options);
        clean_environment(&mut command).stdin(Stdio::null());
        command
    }

    /// Starts an agent whose standard error is a file, `log`, and gives the exit status of the command.
    pub fn start(&self, options: &[&str]) -> Option<i32> {
        let log = OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let log: File = log;
        let mut command = self.command(options);
        command.stdout(Stdio::null()).stderr(log).status().unwrap().code()
    }

    /// Starts an agent, reads all that the command and the agent write until both have closed their output, and gives that.
    pub fn start_and_read(&self, options: &[&str]) -> Output {
        self.command(options).output().unwrap()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log has this.
    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text:?} in the log"), || self.log().contains(text));
    }

    /// The number in the file.
    pub fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.path("agent.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    /// A link to the agent, after the handshake.
    pub fn link(&self) -> Link {
        let mut link = Link::connect(&format!("unix:{}", self.argument("agent.sock")));
        link.shake_hands();
        link
    }

    /// Sends a signal to the agent.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }
}

/// Whether a process is there that has not ended.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// Waits until the process has ended.
#[track_caller]
pub fn wait_for_end(pid: u32) {
    wait_until(&format!("the end of process {pid}"), || !runs(pid));
}

impl Drop for Background {
    fn drop(&mut self) {
        let text = fs::read_to_string(self.path("agent.pid")).unwrap_or_default();
        if let Some(pid) = text.lines().next().and_then(|text| text.parse().ok()).filter(|pid| runs(*pid)) {
            // It may end by itself at this moment.
            drop(Command::new("kill").args(["-KILL", &pid.to_string()]).status());
        }
    }
}
