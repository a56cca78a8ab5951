//! `--watch`: a change of the files that rules and certificates come from is a reload.
//!
//! Folders are watched and not files, as editors and tools put a new file in the place of the old one: a watch on the file
//! would stay with the old one. Whatever happens in a folder leads to a look at the files themselves, and only a
//! difference there to a reload: a log that is written beside the rules is none.

mod folders;
mod state;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use slog::{Logger, debug, error};

use crate::rules::files;
use crate::settings::Settings;
use state::State;

/// How long nothing must happen before the files count as complete.
const QUIET: Duration = Duration::from_millis(500);

/// How long after the first change they count as complete, even if there are more.
const LONGEST: Duration = Duration::from_secs(10);

/// The pause between two looks at the files. It bounds what a busy folder costs.
const PAUSE: Duration = Duration::from_millis(200);

/// The pause before the next attempt when the system refuses a watch.
const RETRY: Duration = Duration::from_secs(10);

/// Tells the service that files have changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FilesChanged {
    /// One of them.
    pub(crate) file: PathBuf,
}

/// The files that are looked at, and how they were before the agent read them.
pub(crate) struct Watch {
    settings: Settings,
    last: State,
}

impl Watch {
    /// For the files of these settings; to be called before they are read.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), last: State::of(&files(settings)) }
    }

    /// Looks for changes in a thread of its own, which tells the service of each.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(mut self, service: Recipient<FilesChanged>, log: Logger) -> io::Result<()> {
        let body = move || {
            loop {
                if let Err(error) = self.look(&service, &log) {
                    error!(log, # "watch_failed", "cannot watch the files of the rules, retrying (--watch)";
                        "error" => ?error.to_string(), "retry_in_ms" => RETRY.as_millis() as u64);
                    thread::sleep(RETRY);
                }
            }
        };
        thread::Builder::new().name("watch".to_owned()).spawn(body).map(drop)
    }

    /// Returns after each change, as the files may be in other folders then.
    fn look(&mut self, service: &Recipient<FilesChanged>, log: &Logger) -> io::Result<()> {
        let paths = files(&self.settings);
        let folders: BTreeSet<_> = paths.iter().flat_map(|path| folders::of(path)).collect();
        let watched = watch(&folders)?;
        debug!(log, # "watching", "watching"; "files" => paths.len(), "folders" => folders.len());
        // What has changed before the folders were watched is found here.
        while State::of(&files(&self.settings)) == self.last {
            wait(&watched, None)?;
            thread::sleep(PAUSE);
        }
        let first = Instant::now();
        while first.elapsed() < LONGEST && wait(&watched, Some(QUIET))? {}
        let now = State::of(&files(&self.settings));
        if let Some(file) = now.difference(&self.last) {
            service.do_send(FilesChanged { file });
            self.last = now;
        }
        Ok(())
    }
}

/// All files that a reload reads.
fn files(settings: &Settings) -> Vec<PathBuf> {
    let rules = settings.rules.clone().with_folder(settings.apps.as_deref());
    // A folder that cannot be read has no files; what becomes of that is said by the reload.
    let mut all = files::of(rules.as_ref().unwrap_or(&settings.rules));
    // A file that is not there yet: so the folder itself is watched.
    all.extend(settings.apps.as_ref().map(|folder| folder.join("*.conf")));
    if let Some(tls) = &settings.tls {
        all.extend([tls.certificate.clone(), tls.key.clone()]);
        all.extend(tls.client_ca.clone());
    }
    all
}

fn watch(folders: &BTreeSet<PathBuf>) -> nix::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let events = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR;
    for folder in folders {
        match inotify.add_watch(folder, events) {
            // It is gone since it was found: the look at the files that follows sees that.
            Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(inotify)
}

/// Waits for events, and takes them. Returns whether there were any within the time.
fn wait(inotify: &Inotify, time: Option<Duration>) -> nix::Result<bool> {
    let timeout = time.and_then(|time| PollTimeout::try_from(time).ok()).unwrap_or(PollTimeout::NONE);
    let mut descriptors = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
    match poll(&mut descriptors, timeout) {
        Ok(0) => return Ok(false),
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    match inotify.read_events() {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}
