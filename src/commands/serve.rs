//! Serves: binds the addresses, loads the rules, and runs until a signal.

use std::process::ExitCode;
use std::sync::Arc;

use actix::System;
use slog::{error, info, warn};
use tokio::sync::Notify;

use super::describe::describe;
use super::fail;
use crate::admin::{AdminSocket, AdminState, Server};
use crate::agent::ModSecurityAgent;
use crate::daemon::service::{Ending, Service};
use crate::daemon::successor::Successor;
use crate::daemon::{descriptors, sockets};
use crate::isolation::process::sandbox;
use crate::isolation::{self, IsolationMode};
use crate::logging;
use crate::settings::Settings;

/// Runs the agent until a signal stops it, or a new process replaces this one.
pub(super) fn serve(settings: Settings) -> ExitCode {
    let (sockets, files) = match sockets::bind(&settings.listen) {
        Ok(bound) => bound,
        Err(error) => return fail(1, &error),
    };
    let admin = match settings.admin.as_ref().map(AdminSocket::bind).transpose() {
        Ok(admin) => admin,
        Err(error) => return fail(1, &format!("--admin: cannot listen: {error}")),
    };
    let (log, last_words) = logging::start(settings.debug);
    let state = Arc::new(AdminState::new(settings.rules.engine.to_string()));
    // Before the rules are loaded, which takes a moment: whoever asks meanwhile is told so.
    let _server = match admin.map(|socket| Server::start(socket, Arc::clone(&state), &log)).transpose() {
        Ok(server) => server,
        Err(error) => return fail(1, &format!("--admin: cannot serve: {error}")),
    };
    descriptors::raise(&log);
    let tainted = Arc::new(Notify::new());
    let on_taint = {
        let tainted = Arc::clone(&tainted);
        move || tainted.notify_one()
    };
    let started = isolation::start(settings.isolation, &settings.rules, settings.limits, on_taint, &log);
    let (isolation, summaries) = match started {
        Ok(started) => started,
        Err(error) => return fail(1, &error),
    };
    describe(&log, &settings, &summaries);
    if settings.isolation == IsolationMode::Process {
        sandbox::describe(&log, settings.limits.sandbox);
    }
    let agent = Arc::new(ModSecurityAgent::new(isolation, settings.agent.clone()));
    let settings = Arc::new(settings);
    let ended = System::new().block_on(async {
        let successor = match settings.isolation {
            IsolationMode::Thread => Some(Successor::new(&sockets)?),
            IsolationMode::Process => None,
        };
        Ok::<_, std::io::Error>(
            Service::start(settings, agent, summaries, sockets, successor, tainted, state, &log)?
                .ended()
                .await,
        )
    });
    match ended {
        Ok(Ending::Stopped) => {
            info!(log, "stopped");
            ExitCode::SUCCESS
        }
        Ok(Ending::Failed(cause)) => {
            error!(log, "cannot start: not every engine could be started"; "reason" => ?cause);
            ExitCode::FAILURE
        }
        Ok(Ending::Replaced(successor)) => {
            warn!(log, "replacing the process");
            drop(last_words);
            files.leave();
            match successor.exec() {
                Ok(never) => match never {},
                Err(error) => fail(1, &format!("cannot replace the process: {error}")),
            }
        }
        Err(error) => {
            error!(log, "cannot run"; "error" => ?error.to_string());
            ExitCode::FAILURE
        }
    }
}
