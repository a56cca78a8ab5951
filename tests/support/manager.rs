//! A service manager: the socket of sd_notify(3), and the folder of the service.

use super::PATIENCE;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use tempfile::TempDir;

/// A socket that services notify.
pub struct Manager {
    messages: Receiver<Vec<u8>>,
    folder: TempDir,
}

impl Default for Manager {
    fn default() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let (sender, messages) = channel();
        // The kernel keeps no more than ten.
        std::thread::spawn(move || {
            let mut datagram = vec![0; 65536];
            while let Ok(length) = socket.recv(&mut datagram) {
                if sender.send(datagram[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { messages, folder }
    }
}

impl Manager {
    /// The variables of a service of its own.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        [
            ("NOTIFY_SOCKET", path(self.folder.path().join("notify"))),
            ("RUNTIME_DIRECTORY", path(self.folder.path().to_owned())),
        ]
    }

    /// The next message, whose assignments are its lines.
    pub fn next(&self) -> Vec<String> {
        let message = self.messages.recv_timeout(PATIENCE).expect("the service does not notify its manager");
        String::from_utf8(message).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits for a message with this assignment. Those before it may only say that the service answers, and what it does.
    pub fn wait_for(&self, assignment: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let message = self.next();
            if message.iter().any(|line| line == assignment) {
                return message;
            }
            let is_usual = |line: &String| line == "WATCHDOG=1" || line.starts_with("STATUS=");
            assert!(message.iter().all(is_usual), "{message:?} before {assignment}");
            assert!(Instant::now() < end, "no {assignment}");
        }
    }
}

/// The value of a variable in a message.
pub fn assigned<'a>(message: &'a [String], variable: &str) -> Option<&'a str> {
    message.iter().find_map(|line| line.strip_prefix(variable)?.strip_prefix('='))
}
