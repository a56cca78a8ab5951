//! Serving: bind, load, run until a signal, stop.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

use actix::{Recipient, System};
use slog::{Logger, error, info, warn};

use super::describe::describe;
use super::fail;
use crate::agent::{Isolation, ModSecurityAgent};
use crate::daemon::service::{End, Program, Tainted, lock};
use crate::daemon::successor::Successor;
use crate::daemon::{descriptors, sockets};
use crate::ffi::fault;
use crate::isolation::process::ZygoteHost;
use crate::isolation::thread::Threads;
use crate::logging;
use crate::modsecurity::Rules;
use crate::modsecurity::load::Summary;
use crate::settings::{self, Settings};

/// Runs the agent until it is told to stop.
pub(super) fn serve(settings: Settings) -> ExitCode {
    let (sockets, files) = match sockets::bind(&settings.listen) {
        Ok(bound) => bound,
        Err(error) => return fail(1, &error),
    };
    let (log, last_words) = logging::start(settings.debug);
    descriptors::raise(&log);
    let taint = Arc::<OnceLock<Recipient<Tainted>>>::default();
    let (isolation, summaries) = match isolate(&settings, &log, Arc::clone(&taint)) {
        Ok(isolated) => isolated,
        Err(error) => return fail(1, &*error),
    };
    describe(&log, &settings, &summaries);
    let agent = Arc::new(ModSecurityAgent::new(
        isolation,
        settings.answers.clone(),
        settings.truncated,
        settings.responses,
        settings.recycling,
        settings.applications(),
    ));
    let settings = Arc::new(settings);
    let system = System::new();
    let end = Arc::<Mutex<End>>::default();
    let started = system.block_on(async {
        if settings.isolation == settings::Isolation::Thread {
            *lock(&end) = End::Stop { successor: Some(Successor::new(&sockets)?) };
        }
        let program = Program::start(Arc::clone(&settings), agent, sockets, Arc::clone(&end), &log)?;
        // It is set nowhere else.
        let _ = taint.set(program.recipient());
        Ok(())
    });
    match started.and_then(|()| system.run()) {
        Ok(()) => match std::mem::take(&mut *lock(&end)) {
            End::Stop { .. } => {
                info!(log, "stopped");
                ExitCode::SUCCESS
            }
            End::Replace(successor) => {
                warn!(log, "replacing the process");
                drop(last_words);
                files.leave();
                match successor.exec() {
                    Ok(never) => match never {},
                    Err(error) => fail(1, &format!("cannot replace the process: {error}")),
                }
            }
        },
        Err(error) => {
            error!(log, "cannot run"; "error" => %error);
            ExitCode::FAILURE
        }
    }
}

/// Loads the rules where the engines are to run. `taint` is told of the first fault in this process.
fn isolate(
    settings: &Settings,
    log: &Logger,
    taint: Arc<OnceLock<Recipient<Tainted>>>,
) -> Result<(Isolation, Vec<Summary>), Box<dyn Display>> {
    fn boxed<E: Display + 'static>(error: E) -> Box<dyn Display> {
        Box::new(error)
    }
    if settings.isolation == settings::Isolation::Process {
        let started = ZygoteHost::start(&settings.rules, settings.responses, log);
        let (zygote_host, summaries) = started.map_err(boxed)?;
        return Ok((Isolation::Process(Arc::new(zygote_host), settings.engine_limit), summaries));
    }
    fault::cancel_last_resort();
    fault::install().map_err(boxed)?;
    let (rules, summaries) = Rules::load(&settings.rules).map_err(boxed)?;
    let on_taint = Box::new(move || {
        if let Some(program) = taint.get() {
            program.do_send(Tainted);
        }
    });
    let threads = Threads::new(rules, settings.responses, settings.engine_limit, on_taint);
    Ok((Isolation::Thread(Arc::new(threads)), summaries))
}
