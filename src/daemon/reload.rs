//! Reading the rules and certificates anew (SIGHUP), off the thread that serves.
//!
//! With engines in processes, a new zygote loads the rules and opens the log files that they name; if it cannot, nothing
//! changes. With engines in threads, the engines share the process with the library's open files and everything else, so
//! the whole process is replaced, after another process has checked the rules.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use actix::{Message, Recipient};
use rustls::ServerConfig;
use slog::Logger;

use crate::daemon::rules_report::LoadedRules;
use crate::daemon::tls::{self, TlsError};
use crate::isolation::{self, Isolation, IsolationError, IsolationMode};
use crate::rules::sources::FolderError;
use crate::settings::{self, Settings, SettingsError};

/// Tells the service how a reload went.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reloaded(pub(crate) Result<Reload, ReloadError>);

/// How the new rules reach the engines.
pub(crate) enum Reload {
    /// New engines with these rules start from this isolation, and new links use these certificates.
    Engines(Isolation, LoadedRules, Option<Arc<ServerConfig>>),
    /// The new rules are right, and the process is to be replaced by one that loads them.
    Process(LoadedRules),
}

/// Why a reload failed; the old rules stay.
#[derive(Debug)]
pub(crate) enum ReloadError {
    /// The new rules cannot be loaded.
    Load(IsolationError),
    /// The folder of applications cannot be used.
    Applications(FolderError),
    /// The certificates cannot be used.
    Tls(TlsError),
    /// The new process would not start with its options.
    Options(SettingsError),
    /// The thread that reads the rules cannot be started.
    Thread(io::Error),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Applications(error) => error.fmt(f),
            Self::Options(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "cannot start the thread that reads the rules: {error}"),
        }
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Load(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Applications(error) => Some(error),
            Self::Options(error) => Some(error),
            Self::Thread(error) => Some(error),
        }
    }
}

/// Reads the rules in a thread of its own, which sends the outcome to `service`.
pub(crate) fn start(settings: Arc<Settings>, log: Logger, service: Recipient<Reloaded>) {
    let told = service.clone();
    let body = move || {
        let outcome = match settings.isolation {
            IsolationMode::Process => engines(&settings, &log),
            IsolationMode::Thread => check(&settings, &log),
        };
        service.do_send(Reloaded(outcome));
    };
    if let Err(cause) = thread::Builder::new().name("reload".to_owned()).spawn(body) {
        told.do_send(Reloaded(Err(ReloadError::Thread(cause))));
    }
}

/// Starts a new zygote, which loads the rules.
fn engines(settings: &Settings, log: &Logger) -> Result<Reload, ReloadError> {
    let tls = settings.tls.as_ref().map(tls::load).transpose().map_err(ReloadError::Tls)?;
    let (isolation, rules) = load(settings, settings.isolation, log)?;
    Ok(Reload::Engines(isolation, rules, tls))
}

/// Checks what the new process will do: it reads the same options, and loads the rules as a zygote does that is not used
/// for more.
fn check(settings: &Settings, log: &Logger) -> Result<Reload, ReloadError> {
    settings.tls.as_ref().map(tls::load).transpose().map_err(ReloadError::Tls)?;
    settings::read(std::env::args_os(), std::env::vars_os(), "").map_err(ReloadError::Options)?;
    let (_, rules) = load(settings, IsolationMode::Process, log)?;
    Ok(Reload::Process(rules))
}

/// Loads the rules, those of the applications that are in the folder now among them.
fn load(
    settings: &Settings,
    mode: IsolationMode,
    log: &Logger,
) -> Result<(Isolation, LoadedRules), ReloadError> {
    let sources = settings.rules.clone().with_folder(settings.apps.as_deref());
    let sources = sources.map_err(ReloadError::Applications)?;
    // `on_taint` does nothing: engines in other processes cannot taint this one.
    let started = isolation::start(mode, &sources, settings.limits, || {}, log);
    let (isolation, summaries) = started.map_err(ReloadError::Load)?;
    Ok((isolation, LoadedRules { sources, summaries }))
}
