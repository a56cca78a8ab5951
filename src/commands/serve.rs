//! Serves: binds the addresses, loads the rules, and runs until a signal.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::System;
use actors::TlsServer;
use slog::{error, info, warn};
use tokio::sync::Notify;

use super::describe::describe;
use super::fail;
use crate::admin::{AdminSocket, AdminState, Server};
use crate::agent::ModSecurityAgent;
use crate::daemon::inherited::{self, Bound};
use crate::daemon::service::{Ending, Service, Surroundings};
use crate::daemon::service_manager::ServiceManager;
use crate::daemon::successor::Successor;
use crate::daemon::watch::Watch;
use crate::daemon::{descriptors, sockets, tls};
use crate::isolation::process::sandbox;
use crate::isolation::{self, IsolationMode};
use crate::logging;
use crate::settings::Settings;

/// Runs the agent until a signal stops it, or a new process replaces this one.
pub(super) fn serve(settings: Settings) -> ExitCode {
    let (predecessor, inherited) = match inherited::all() {
        Ok(inherited) => inherited,
        Err(error) => return fail(1, &error),
    };
    let (sockets, files) =
        match sockets::bind(&settings.listen, settings.is_listen_default, inherited, predecessor.is_some()) {
            Ok(bound) => bound,
            Err(error) => return fail(1, &error),
        };
    let tls = match settings.tls.as_ref().map(tls::load).transpose() {
        Ok(config) => config.map(TlsServer::new),
        Err(error) => return fail(1, &error),
    };
    let (log, logs, last_words) = match logging::start(&settings.log) {
        Ok(started) => started,
        Err(error) => return fail(1, &error),
    };
    let state = Arc::new(AdminState::new(settings.rules.engine.to_string(), logs.clone()));
    // Before the rules are loaded, which takes a moment: whoever asks meanwhile is told so.
    let admin = settings.admin.as_ref().map(|address| {
        // A predecessor has the address until it ends.
        let socket = AdminSocket::bind(address, predecessor.is_some())?;
        Server::start(socket, Arc::clone(&state), &log)
    });
    let _server = match admin.transpose() {
        Ok(server) => server,
        Err(error) => return fail(1, &format!("--admin: cannot listen: {error}")),
    };
    descriptors::raise(&log);
    let manager = ServiceManager::find(predecessor.is_some(), &log);
    let watch = settings.watch.then(|| Watch::new(&settings));
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
    if tls.is_none() {
        for address in sockets.iter().filter_map(Bound::exposed_address) {
            warn!(log, # "listening_without_tls", "listening beyond this machine without TLS: what HAProxy and the agent tell each other can be read and \
                changed on the way (--tls)"; "address" => %address);
        }
    }
    let agent = Arc::new(ModSecurityAgent::new(isolation, settings.agent.clone()));
    let settings = Arc::new(settings);
    let files_are_others = files.are_others();
    let ended = System::new().block_on(async {
        let successor = Successor::new(&sockets)?;
        let sockets = sockets.into_iter().map(|bound| bound.with_tls(tls.as_ref())).collect();
        let surroundings = Surroundings {
            successor,
            predecessor,
            files_are_others,
            tainted,
            tls,
            watch,
            manager,
            logs,
            admin: state,
        };
        let service = Service::start(settings, agent, summaries, sockets, surroundings, &log)?;
        Ok::<_, std::io::Error>(service.ended().await)
    });
    match ended {
        Ok(Ending::Stopped) => {
            info!(log, # "stopped", "stopped");
            ExitCode::SUCCESS
        }
        Ok(Ending::Failed(cause)) => {
            error!(log, # "start_failed", "cannot start: not every engine could be started"; "reason" => ?cause);
            ExitCode::FAILURE
        }
        Ok(Ending::Replaced(successor)) => {
            warn!(log, # "replacing_process", "replacing the process");
            drop(last_words);
            files.are_others().store(true, Ordering::Relaxed);
            drop(files);
            match successor.exec() {
                Ok(never) => match never {},
                Err(error) => fail(1, &format!("cannot replace the process: {error}")),
            }
        }
        Err(error) => {
            error!(log, # "run_failed", "cannot run"; "error" => ?error.to_string());
            ExitCode::FAILURE
        }
    }
}
