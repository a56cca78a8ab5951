//! What an agent has: its processes, threads, descriptors and memory, read from /proc.

use crate::subject::{Subject, WORKERS};
use crate::support::waiting::wait_until;
use std::fs;

/// The name of a spare zygote.
const SPARE: &str = "zygote-spare";

/// One process, from /proc/PID/stat.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub name: String,
    pub state: char,
    parent: u32,
}

impl Process {
    /// The process with this number, if there is one.
    pub fn find(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (start, rest) = stat.rsplit_once(") ")?;
        let mut rest = rest.split(' ');
        Some(Self {
            pid,
            name: start.split_once('(')?.1.to_owned(),
            state: rest.next()?.chars().next()?,
            parent: rest.next()?.parse().ok()?,
        })
    }

    /// Whether this very process still runs: a zombie does not, and another that has its number by now is not it.
    pub fn runs(&self) -> bool {
        Self::find(self.pid).is_some_and(|now| !matches!(now.state, 'Z' | 'X') && now.name == self.name)
    }

    /// The children of a process, zombies among them.
    pub fn children_of(parent: u32) -> Vec<Self> {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Self::find).filter(|process| process.parent == parent).collect()
    }

    fn was_called(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(line.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
    }
}

impl Subject {
    /// The zygotes: one, unless it was just killed.
    pub fn zygotes(&self) -> Vec<Process> {
        let mut all = self.children();
        all.retain(|child| child.name != SPARE);
        all
    }

    /// The spare zygote, once it is there.
    pub fn spare(&self) -> Process {
        let mut found = None;
        wait_until("a spare zygote", || {
            found = self.children().into_iter().find(|child| child.name == SPARE);
            found.is_some()
        });
        found.unwrap()
    }

    /// The zygote and its spare.
    fn children(&self) -> Vec<Process> {
        let mut all = Process::children_of(self.agent.pid());
        all.retain(|child| child.was_called() == "modsecurity-spoa-zygote" && child.state != 'Z');
        all
    }

    /// The zygote, which must be there or come. A spare is called a zygote, too, until it has given itself its name.
    pub fn zygote(&self) -> Process {
        let mut zygotes = Vec::new();
        wait_until("the zygote", || {
            zygotes = self.zygotes();
            zygotes.len() == 1
        });
        zygotes.remove(0)
    }

    /// The children of the zygote, zombies among them.
    pub fn engines(&self) -> Vec<Process> {
        self.zygotes().iter().flat_map(|zygote| Process::children_of(zygote.pid)).collect()
    }

    /// The engine of this worker, which must be there or come.
    pub fn engine(&self, worker: usize) -> Process {
        let name = format!("engine-{worker}");
        let mut found = None;
        wait_until(&name, || {
            found = self.engines().into_iter().find(|engine| engine.name == name && engine.runs());
            found.is_some()
        });
        found.unwrap()
    }

    /// The zygote and the engines, as they run now; each worker must have one.
    pub fn helpers(&self) -> Vec<Process> {
        let mut all: Vec<_> = (1..=WORKERS).map(|worker| self.engine(worker)).collect();
        all.push(self.zygote());
        all
    }
}

/// What an agent has.
#[derive(Clone, Copy, Debug)]
pub struct Census {
    front_kib: u64,
    front_threads: u64,
    front_files: usize,
    zygote_kib: u64,
    zygote_files: usize,
    engines: usize,
}

impl Census {
    /// What it has now.
    pub fn take(subject: &Subject) -> Self {
        let (front, zygote) = (subject.agent.pid(), subject.zygote().pid);
        Self {
            front_kib: status(front, "VmRSS"),
            front_threads: status(front, "Threads"),
            front_files: files(front),
            zygote_kib: status(zygote, "VmRSS"),
            zygote_files: files(zygote),
            engines: subject.engines().len(),
        }
    }

    /// Waits until it has no more than then; its memory may have grown by so much.
    pub fn expect_no_growth(self, subject: &Subject, allowed_kib: u64) {
        let mut now = Self::take(subject);
        wait_until(&format!("as little as before: {self:?}; now {now:?}"), || {
            now = Self::take(subject);
            now.engines == WORKERS
                && now.front_threads <= self.front_threads
                && now.front_files <= self.front_files
                && now.zygote_files <= self.zygote_files
        });
        println!("before {self:?}\nafter  {now:?}");
        assert!(now.front_kib <= self.front_kib + allowed_kib, "front: {self:?}, then {now:?}");
        assert!(now.zygote_kib <= self.zygote_kib + allowed_kib, "zygote: {self:?}, then {now:?}");
    }
}

fn files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A number in /proc/PID/status.
fn status(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()).map_or(0, |number| number.parse().unwrap())
}
