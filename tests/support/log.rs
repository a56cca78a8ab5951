//! What a child writes, line by line, while it runs.

use super::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Kept {
    lines: Vec<String>,
    ended: bool,
}

/// The lines of one stream, collected by a thread of its own.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Kept>, Condvar)>);

impl Log {
    /// Starts to collect.
    pub fn follow(stream: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                writer.kept().lines.push(String::from_utf8_lossy(&line).into_owned());
                writer.0.1.notify_all();
            }
            writer.kept().ended = true;
            writer.0.1.notify_all();
        });
        log
    }

    /// Starts to collect datagrams, one line each, for as long as this process lives.
    pub fn receive(socket: UdpSocket) -> Self {
        let log = Self::default();
        let writer = log.clone();
        std::thread::spawn(move || {
            let mut datagram = vec![0; 65536];
            while let Ok(length) = socket.recv(&mut datagram) {
                let line = String::from_utf8_lossy(&datagram[..length]);
                writer.kept().lines.push(line.trim_end().to_owned());
                writer.0.1.notify_all();
            }
        });
        log
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.0.lock().unwrap()
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.kept().lines.clone()
    }

    /// How many lines there are so far.
    pub fn count(&self) -> usize {
        self.kept().lines.len()
    }

    /// The lines so far that contain this text.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| line.contains(text));
        lines
    }

    /// Waits for a line for which `wanted` holds, from the first line on. Panics with the whole log when none comes.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_after(0, what, wanted)
    }

    /// The same among the lines after the first `mark`.
    pub fn wait_for_after(&self, mark: usize, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        match self.find(mark, wanted) {
            Some(line) => line,
            None => panic!("no line in the log with {what}; it has:\n{}", self.lines().join("\n")),
        }
    }

    /// Waits for a line that contains `text`.
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |line| line.contains(text))
    }

    /// Waits until a line contains `text` or the stream has ended: whether there was such a line.
    pub fn wait_for_end_or(&self, text: &str) -> bool {
        self.find(0, |line| line.contains(text)).is_some()
    }

    /// Waits until the stream has ended, and gives all lines.
    pub fn wait_for_end(&self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut kept = self.kept();
        while !kept.ended {
            let left = left(deadline).expect("the stream does not end");
            kept = self.0.1.wait_timeout(kept, left).unwrap().0;
        }
        kept.lines.clone()
    }

    fn find(&self, mut seen: usize, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut kept = self.kept();
        loop {
            if let Some(line) = kept.lines[seen..].iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            if kept.ended {
                return None;
            }
            seen = kept.lines.len();
            kept = self.0.1.wait_timeout(kept, left(deadline)?).unwrap().0;
        }
    }
}

fn left(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now())
}

/// Whether a line tells of something that is not as it should be. That tests run as root is no such thing.
pub fn is_alarming(line: &str) -> bool {
    let is = |level: &&str| line.contains(*level);
    [" WARN ", " ERRO ", " CRIT "].iter().any(is) && !line.contains(" WARN running as root")
}

/// The value of `key` in a log line: `…, uri: "/?a", status: 403` has `"/?a"` (with its quotes) and `403`. What stands
/// between quotes is no key.
pub fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    parts(line).into_iter().skip(1).find_map(|part| part.strip_prefix(key)?.strip_prefix(": "))
}

/// The line cut at each comma and space that is not between quotes.
fn parts(line: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted && line[at..].starts_with(", ") => {
                parts.push(&line[start..at]);
                start = at + 2;
            }
            _ => {}
        }
    }
    parts.push(&line[start..]);
    parts
}
