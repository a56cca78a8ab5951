//! Serves: goes into the background, binds the addresses, gives up rights, loads the rules, and runs until a signal.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::System;
use actors::TlsServer;
use slog::{error, info, warn};
use tokio::sync::Notify;

use super::describe::describe;
use super::{fail, warn};
use crate::admin::{AdminSocket, AdminState, Server};
use crate::agent::ModSecurityAgent;
use crate::agent::policy::Applications;
use crate::daemon::detach::{self, Side, Starter};
use crate::daemon::inherited::{self, Bound, Inherited};
use crate::daemon::pid_file::PidFile;
use crate::daemon::rules_report::LoadedRules;
use crate::daemon::service::{Ending, NOT_STARTED, Service, Surroundings};
use crate::daemon::service_manager::ServiceManager;
use crate::daemon::sockets::Sockets;
use crate::daemon::successor::{self, Successor};
use crate::daemon::watch::Watch;
use crate::daemon::{descriptors, privileges, sockets, tls};
use crate::ffi::processes::end_at_once;
use crate::isolation::process::sandbox;
use crate::isolation::{self, IsolationMode};
use crate::logging;
use crate::logging::target::{Destination, Target};
use crate::settings::Settings;

/// Why the agent cannot start.
type Cause = Box<dyn Display>;

/// Runs the agent until a signal stops it, or a new process replaces this one. With `--daemon` that is done by another
/// process, and this one ends when the agent serves.
pub(super) fn serve(settings: Settings) -> ExitCode {
    let mut starter = Starter::default();
    if settings.process.daemon && !successor::is_one() {
        let logs_to_standard_error = |target: &Target| {
            matches!(target.destination, Destination::StandardError | Destination::JsonStandardError)
        };
        if settings.log.targets.iter().all(logs_to_standard_error) && detach::loses_standard_error() {
            warn(
                &"standard error is no file, so nobody will see the log: give it another target (--log FILE)",
            );
        }
        match detach::detach() {
            Ok(Side::Starter(Ok(()))) => return ExitCode::SUCCESS,
            Ok(Side::Starter(Err(cause))) => return fail(1, &cause),
            Ok(Side::Agent(agent)) => starter = agent,
            Err(cause) => return fail(1, &format!("cannot go into the background (--daemon): {cause}")),
        }
    }
    let mut waiting = Some(starter);
    match run(settings, &mut waiting) {
        Ok(status) => status,
        Err(cause) => match waiting.is_some_and(|mut starter| starter.failed(&cause.to_string())) {
            true => ExitCode::FAILURE,
            false => fail(1, &cause),
        },
    }
}

/// Runs the agent in this process. `starter` is taken when the tree starts, which tells it the rest.
///
/// # Errors
/// Why the agent cannot start.
fn run(settings: Settings, starter: &mut Option<Starter>) -> Result<ExitCode, Cause> {
    let Inherited { predecessor, sockets, pid_file: held } = inherited::all().map_err(boxed)?;
    let bound = sockets::bind(&settings, sockets, predecessor.is_some()).map_err(boxed)?;
    let Sockets { listen, agent_check, mut files } = bound;
    let files_are_others = files.are_others();
    // While the process may bind what it likes. A predecessor has the address until it ends.
    let admin = settings.admin.as_ref().map(|address| AdminSocket::bind(address, predecessor.is_some()));
    let admin = admin.transpose().map_err(|error| boxed(format!("--admin: cannot listen: {error}")))?;
    let mut pid_file = match (&settings.process.pid_file, held) {
        (Some(path), Some(held)) => Some(PidFile::inherit(held, path, Arc::clone(&files_are_others))),
        (Some(path), None) => Some(PidFile::create(path).map_err(boxed)?),
        (None, _) => None,
    };
    pid_file.iter_mut().for_each(|file| file.share(Arc::clone(&files_are_others)));
    let all = listen.iter().chain(&agent_check);
    let successor = Successor::new(all, pid_file.as_ref()).map_err(boxed)?;
    if !successor::is_one() {
        privileges::give_up(&settings.process).map_err(boxed)?;
        if let Some(root) = &settings.process.chroot {
            files.enter(root);
            pid_file.iter_mut().for_each(|file| file.enter(root));
        }
    }
    let tls = settings.tls.as_ref().map(tls::load).transpose().map_err(boxed)?.map(TlsServer::new);
    let (log, logs, last_words) = logging::start(&settings.log).map_err(boxed)?;
    let state = Arc::new(AdminState::new(settings.rules.engine.to_string(), logs.clone()));
    // Before the rules are loaded, which takes a moment: whoever asks meanwhile is told so.
    let server = admin.map(|socket| Server::start(socket, Arc::clone(&state), &log));
    let _server = server.transpose().map_err(|error| boxed(format!("--admin: cannot serve: {error}")))?;
    descriptors::raise(&log);
    if let Some(number) = pid_file.as_ref().and_then(PidFile::stale) {
        info!(log, # "pid_file_stale", "the process that the pid file named is gone, the file is taken over"; "process" => number);
    }
    let manager = ServiceManager::find(predecessor.is_some(), &log);
    let watch = settings.watch.then(|| Watch::new(&settings));
    let sources = settings.rules.clone().with_folder(settings.apps.as_deref()).map_err(boxed)?;
    let tainted = Arc::new(Notify::new());
    let on_taint = {
        let tainted = Arc::clone(&tainted);
        move || tainted.notify_one()
    };
    let started = isolation::start(settings.isolation, &sources, settings.limits, on_taint, &log);
    let (isolation, summaries) = started.map_err(|error| within(&settings, error))?;
    let rules = LoadedRules { sources, summaries };
    describe(&log, &settings, &rules);
    if settings.isolation == IsolationMode::Process {
        sandbox::describe(&log, settings.limits.sandbox);
    }
    if tls.is_none() {
        for address in listen.iter().filter_map(Bound::exposed_address) {
            warn!(log, # "listening_without_tls", "listening beyond this machine without TLS: what HAProxy and the agent tell each other can be read and \
                changed on the way (--tls)"; "address" => %address);
        }
    }
    let applications = Applications::of(&rules.sources);
    let agent = Arc::new(ModSecurityAgent::new(isolation, applications, settings.agent.clone()));
    let settings = Arc::new(settings);
    let sockets = listen.into_iter().map(|bound| bound.with_tls(tls.as_ref())).collect();
    // HAProxy's agent checks know no TLS.
    let agent_check = agent_check.map(|bound| bound.with_tls(None));
    let starter = starter.take().unwrap_or_default();
    let surroundings = Surroundings {
        agent_check,
        starter,
        successor,
        predecessor,
        files_are_others: Arc::clone(&files_are_others),
        tainted,
        tls,
        watch,
        manager,
        logs,
        admin: state,
    };
    let system = System::new();
    let ended = system.block_on(async {
        let service = Service::start(settings, agent, rules, sockets, surroundings, &log)?;
        Ok::<_, std::io::Error>(service.ended().await)
    });
    Ok(match ended {
        Ok(Ending::Stopped) => {
            info!(log, # "stopped", "stopped");
            ExitCode::SUCCESS
        }
        Ok(Ending::Abandoned) => {
            drop((last_words, files, pid_file));
            // The end of a process by `main` waits for engines.
            end_at_once(1)
        }
        Ok(Ending::Failed(cause)) => {
            error!(log, # "start_failed", "{}", NOT_STARTED; "reason" => ?cause);
            ExitCode::FAILURE
        }
        Ok(Ending::Replaced(successor)) => {
            warn!(log, # "replacing_process", "replacing the process");
            drop(last_words);
            files_are_others.store(true, Ordering::Relaxed);
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
    })
}

fn boxed(cause: impl Display + 'static) -> Cause {
    Box::new(cause)
}

/// Why the rules cannot be loaded, with what another root of all files has to do with it.
fn within(settings: &Settings, cause: isolation::IsolationError) -> Cause {
    match &settings.process.chroot {
        Some(root) => Box::new(format!(
            "{cause} (in {}, which must have /proc, the program's libraries and the rules)",
            root.display()
        )),
        None => Box::new(cause),
    }
}
