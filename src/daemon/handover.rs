//! Handing over to a new process of the program (SIGUSR2): after the program's file was replaced, or its options.
//!
//! The new process has the listening sockets, over a socket on its standard input, and starts as any other does. Both
//! serve from the moment at which it is ready; then the old one answers what it has and ends. A new process that ends
//! before, or takes too long, changes nothing.
//!
//! | who | message | meaning |
//! |---|---|---|
//! | old | `s` or `m` with a descriptor | a socket; `m`: the service manager has it too |
//! | old | `p` with a descriptor | the file with the number of the process, locked |
//! | old | `.` | that were all |
//! | new | `r` | ready |
//! | old | `g` | the service manager knows the new process; the rest is its own |

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use actix::{Message, Recipient};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::dup2_stdin;

use crate::daemon::inherited::{Bound, Inherited};
use crate::daemon::successor::Successor;
use crate::ffi::processes::{receive, send};

/// The environment variable that tells a process to look for its predecessor at its standard input.
pub(crate) const VARIABLE: &str = "_MODSECURITY_SPOA_HANDOVER";

/// How long the new process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(180);

const SOCKET: &[u8] = b"s";
const MANAGERS_SOCKET: &[u8] = b"m";
const PID_FILE: &[u8] = b"p";
const ALL: &[u8] = b".";
const READY: &[u8] = b"r";
const GO: &[u8] = b"g";

/// Why there is no new process.
#[derive(Debug)]
pub(crate) enum HandoverError {
    /// It cannot be started.
    Start(io::Error),
    /// It has ended before it was ready; what it wrote to standard error says why.
    Ended(ExitStatus),
    /// It was not ready in [`PATIENCE`], and was killed.
    Late,
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "it cannot be started: {error}"),
            Self::Ended(status) => write!(f, "it has ended before it was ready ({status})"),
            Self::Late => write!(f, "it was not ready in {} s", PATIENCE.as_secs()),
        }
    }
}

impl std::error::Error for HandoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Ended(_) | Self::Late => None,
        }
    }
}

/// Tells the service what has become of its heir.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HeirNews(pub(crate) Result<(), HandoverError>);

/// The new process, as the old one sees it.
pub(crate) struct Heir {
    child: Arc<Mutex<Child>>,
    channel: Arc<OwnedFd>,
    pid: u32,
}

impl Heir {
    /// Starts the new process, and a thread that waits for it and tells `service`.
    ///
    /// # Errors
    /// When it cannot be started, or does not take the sockets.
    pub(crate) fn start(successor: &Successor, service: Recipient<HeirNews>) -> Result<Self, HandoverError> {
        Self::launch(successor, service).map_err(HandoverError::Start)
    }

    fn launch(successor: &Successor, service: Recipient<HeirNews>) -> io::Result<Self> {
        let (channel, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let mut child = successor.new_program().env(VARIABLE, "1").stdin(Stdio::from(theirs)).spawn()?;
        let pid = child.id();
        match pass(successor, &channel) {
            // One that has ended already is found below.
            Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => {}
            Err(errno) => {
                end(&mut child)?;
                return Err(errno.into());
            }
        }
        let (child, channel) = (Arc::new(Mutex::new(child)), Arc::new(channel));
        let heir = Self { child: Arc::clone(&child), channel: Arc::clone(&channel), pid };
        let wait = move || {
            let is_ready = wait_for(&channel, READY, Some(PATIENCE));
            let news = if is_ready { Ok(()) } else { Err(failure(&child)) };
            service.do_send(HeirNews(news));
        };
        if let Err(error) = thread::Builder::new().name("handover".to_owned()).spawn(wait) {
            heir.kill();
            return Err(error);
        }
        Ok(heir)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it have all that is left: it is the service from now on.
    pub(crate) fn go(&self) {
        // When it is gone meanwhile, nobody else is there either: this process has told that it ends.
        let _ = send(self.channel.as_fd(), GO, &[]);
    }

    /// Ends it: it is not wanted any more.
    pub(crate) fn kill(&self) {
        // It may have ended by itself.
        let _ = end(&mut self.child.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn pass(successor: &Successor, channel: &OwnedFd) -> nix::Result<()> {
    for (socket, is_managers) in successor.sockets() {
        let word = if is_managers { MANAGERS_SOCKET } else { SOCKET };
        send(channel.as_fd(), word, &[socket])?;
    }
    if let Some(file) = successor.pid_file() {
        send(channel.as_fd(), PID_FILE, &[file])?;
    }
    send(channel.as_fd(), ALL, &[])
}

fn end(child: &mut Child) -> io::Result<ExitStatus> {
    let _ = child.kill();
    child.wait()
}

/// Why a process does not get ready that has closed its end, or has had its time.
fn failure(child: &Mutex<Child>) -> HandoverError {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // Its end of the channel is closed a moment before it can be waited for.
    for _ in 0..100 {
        match child.try_wait() {
            Ok(Some(status)) => return HandoverError::Ended(status),
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Err(error) => return HandoverError::Start(error),
        }
    }
    match end(&mut child) {
        Ok(_) => HandoverError::Late,
        Err(error) => HandoverError::Start(error),
    }
}

/// Waits for this word. Returns whether it came within the time, and before the other end was closed.
fn wait_for(channel: &OwnedFd, word: &[u8], time: Option<Duration>) -> bool {
    let timeout = time.and_then(|time| PollTimeout::try_from(time).ok()).unwrap_or(PollTimeout::NONE);
    // A signal is for another thread: those are blocked here or restart the call.
    if !matches!(poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], timeout), Ok(1..)) {
        return false;
    }
    let mut buffer = [0; 16];
    receive(channel.as_fd(), &mut buffer).is_ok_and(|(length, _)| buffer.get(..length) == Some(word))
}

/// The old process, as the new one sees it.
pub(crate) struct Predecessor {
    channel: OwnedFd,
}

/// Tells the service that its predecessor leaves the rest to it, or is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TakenOver;

impl Predecessor {
    /// Takes the sockets and the rest over from the process that has started this one to be its heir; `None` if nobody has.
    ///
    /// # Errors
    /// When what comes over standard input are not listening sockets.
    pub(crate) fn find() -> io::Result<Option<Inherited>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let channel = io::stdin().as_fd().try_clone_to_owned()?;
        dup2_stdin(File::open("/dev/null")?)?;
        let (mut sockets, mut pid_file) = (Vec::new(), None);
        loop {
            let mut buffer = [0; 16];
            let (length, descriptors) = receive(channel.as_fd(), &mut buffer)?;
            match (buffer.get(..length).unwrap_or_default(), descriptors.into_iter().next()) {
                (SOCKET, Some(socket)) => sockets.push(Bound::inherit(socket, false)?),
                (MANAGERS_SOCKET, Some(socket)) => sockets.push(Bound::inherit(socket, true)?),
                (PID_FILE, Some(file)) => pid_file = Some(file),
                (ALL, None) => {
                    let predecessor = Some(Self { channel });
                    return Ok(Some(Inherited { predecessor, sockets, pid_file }));
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Tells it that this process is ready, and tells `service` when the rest is this process's.
    ///
    /// # Errors
    /// When no thread can be started to wait.
    pub(crate) fn take_over(self, service: Recipient<TakenOver>) -> io::Result<()> {
        let wait = move || {
            // A predecessor that is gone has nothing to leave.
            if send(self.channel.as_fd(), READY, &[]).is_ok() {
                wait_for(&self.channel, GO, None);
            }
            service.do_send(TakenOver);
        };
        thread::Builder::new().name("handover".to_owned()).spawn(wait).map(drop)
    }
}
