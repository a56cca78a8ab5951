//! Reading the rules anew (SIGHUP), off the thread that serves.
//!
//! Engines in processes come from a new zygote, which loads the rules and opens the log files that they name. What it
//! cannot load changes nothing. In threads the engines share the process with everything else, the library's open files
//! among them, so the process is replaced; first another checks the rules.

use std::process::Command;
use std::sync::Arc;
use std::thread;

use actix::{Message, Recipient};
use slog::Logger;

use crate::agent;
use crate::isolation::process::ZygoteHost;
use crate::modsecurity::load::Summary;
use crate::settings::{Isolation, Settings};

/// What came of reading the rules.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reloaded(pub(super) Result<Reload, String>);

/// How the new rules come to the engines.
pub(crate) enum Reload {
    /// Engines are made here from now on.
    Engines(agent::Isolation, Vec<Summary>),
    /// The process is to be replaced.
    Process,
}

/// Starts reading the rules; `program` hears of the end.
pub(crate) fn start(settings: Arc<Settings>, log: Logger, program: Recipient<Reloaded>) {
    let body = move || {
        let read = match settings.isolation {
            Isolation::Process => engines(&settings, &log),
            Isolation::Thread => check(),
        };
        program.do_send(Reloaded(read));
    };
    // Without a thread its body is dropped, and the old rules stay.
    drop(thread::Builder::new().name("reload".to_owned()).spawn(body));
}

fn engines(settings: &Settings, log: &Logger) -> Result<Reload, String> {
    let started = ZygoteHost::start(&settings.rules, settings.responses, log);
    let (zygote_host, summaries) = started.map_err(|error| error.to_string())?;
    let isolation = agent::Isolation::Process(Arc::new(zygote_host), settings.engine_limit);
    Ok(Reload::Engines(isolation, summaries))
}

/// Has the rules checked by the program that would become the new process.
fn check() -> Result<Reload, String> {
    let mut command = Command::new("/proc/self/exe");
    let checked = command.args(std::env::args_os().skip(1)).arg("--check").output();
    let output = checked.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(Reload::Process);
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
