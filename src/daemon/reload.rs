//! Reading the rules anew (SIGHUP), off the thread that serves.
//!
//! Engines in processes come from a new zygote, which loads the rules and opens the log files that they name. What it
//! cannot load changes nothing. In threads the engines share the process with everything else, the library's open files
//! among them, so the process is replaced; first another checks the rules.

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

/// What came of reading the rules.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reloaded(pub(crate) Result<Reload, ReloadError>);

/// How the new rules come to the engines.
pub(crate) enum Reload {
    /// Engines are made here from now on.
    Engines(Isolation, Vec<Summary>),
    /// The process is to be replaced.
    Process,
}

/// Why the old rules stay.
#[derive(Debug)]
pub(crate) enum ReloadError {
    /// The new ones cannot be loaded.
    Load(IsolationError),
    /// The program that would become the new process refuses them, with this text.
    Refused(String),
    /// The program could not be asked.
    Ask(io::Error),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Refused(text) => f.write_str(text),
            Self::Ask(error) => write!(f, "cannot run the program that checks the rules: {error}"),
        }
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Load(error) => Some(error),
            Self::Refused(_) => None,
            Self::Ask(error) => Some(error),
        }
    }
}

/// Starts reading the rules; `service` hears of the end.
pub(crate) fn start(settings: Arc<Settings>, log: Logger, service: Recipient<Reloaded>) {
    let body = move || {
        let read = match settings.isolation {
            IsolationMode::Process => engines(&settings, &log),
            IsolationMode::Thread => check(),
        };
        service.do_send(Reloaded(read));
    };
    // Without a thread its body is dropped, and the old rules stay.
    drop(thread::Builder::new().name("reload".to_owned()).spawn(body));
}

fn engines(settings: &Settings, log: &Logger) -> Result<Reload, ReloadError> {
    // Engines in processes cannot taint this one.
    let started = isolation::start(settings.isolation, &settings.rules, settings.limits, || {}, log);
    let (isolation, summaries) = started.map_err(ReloadError::Load)?;
    Ok(Reload::Engines(isolation, summaries))
}

/// Has the rules checked by the program that would become the new process.
fn check() -> Result<Reload, ReloadError> {
    let mut command = Command::new("/proc/self/exe");
    let checked = command.args(std::env::args_os().skip(1)).arg("--check").output();
    let output = checked.map_err(ReloadError::Ask)?;
    if output.status.success() {
        return Ok(Reload::Process);
    }
    Err(ReloadError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
