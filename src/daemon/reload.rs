//! Reading the rules anew (SIGHUP), off the thread that serves.
//!
//! With engines in processes, a new zygote loads the rules and opens the log files that they name; if it cannot, nothing
//! changes. With engines in threads, the engines share the process with the library's open files and everything else, so
//! the whole process is replaced, after another process has checked the rules.

use std::fmt;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use actix::{Message, Recipient};
use slog::Logger;

use crate::isolation::{self, Isolation, IsolationError, IsolationMode};
use crate::modsecurity::load::Summary;
use crate::settings::Settings;

/// Tells the service how a reload went.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reloaded(pub(crate) Result<Reload, ReloadError>);

/// How the new rules reach the engines.
pub(crate) enum Reload {
    /// New engines start from this isolation. The summaries are of the default rules and of each application's.
    Engines(Isolation, Vec<Summary>),
    /// The new rules are right, and the process is to be replaced by one that loads them.
    Process,
}

/// Why a reload failed; the old rules stay.
#[derive(Debug)]
pub(crate) enum ReloadError {
    /// The new rules cannot be loaded.
    Load(IsolationError),
    /// The program refuses the new rules when it is run with `--check`; this is its text on standard error.
    Refused(String),
    /// The program cannot be run with `--check`.
    Ask(io::Error),
    /// The thread that reads the rules cannot be started.
    Thread(io::Error),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Refused(text) => f.write_str(text),
            Self::Ask(error) => write!(f, "cannot run the program that checks the rules: {error}"),
            Self::Thread(error) => write!(f, "cannot start the thread that reads the rules: {error}"),
        }
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Load(error) => Some(error),
            Self::Refused(_) => None,
            Self::Ask(error) | Self::Thread(error) => Some(error),
        }
    }
}

/// Reads the rules in a thread of its own, which sends the outcome to `service`.
pub(crate) fn start(settings: Arc<Settings>, log: Logger, service: Recipient<Reloaded>) {
    let told = service.clone();
    let body = move || {
        let outcome = match settings.isolation {
            IsolationMode::Process => engines(&settings, &log),
            IsolationMode::Thread => check(),
        };
        service.do_send(Reloaded(outcome));
    };
    if let Err(cause) = thread::Builder::new().name("reload".to_owned()).spawn(body) {
        told.do_send(Reloaded(Err(ReloadError::Thread(cause))));
    }
}

/// Starts a new zygote, which loads the rules.
fn engines(settings: &Settings, log: &Logger) -> Result<Reload, ReloadError> {
    // `on_taint` does nothing: engines in other processes cannot taint this one.
    let started = isolation::start(settings.isolation, &settings.rules, settings.limits, || {}, log);
    let (isolation, summaries) = started.map_err(ReloadError::Load)?;
    Ok(Reload::Engines(isolation, summaries))
}

/// Runs the program that would become the new process with `--check`.
fn check() -> Result<Reload, ReloadError> {
    let mut command = Command::new("/proc/self/exe");
    let checked = command.args(std::env::args_os().skip(1)).arg("--check").output();
    let output = checked.map_err(ReloadError::Ask)?;
    if output.status.success() {
        return Ok(Reload::Process);
    }
    Err(ReloadError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
