//! Serves: goes into the background, binds the addresses, gives up rights, loads the rules, and runs until a signal.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;

use actix::System;
use slog::{error, info, warn};
use tokio::sync::Notify;

use super::describe::describe;
use super::{fail, warn};
use crate::agent::ModSecurityAgent;
use crate::agent::policy::Applications;
use crate::daemon::detach::{self, Side, Starter};
use crate::daemon::pid_file::PidFile;
use crate::daemon::rules_report::LoadedRules;
use crate::daemon::service::{Ending, NOT_STARTED, Service, Start};
use crate::daemon::successor::{self, Inheritance, Successor};
use crate::daemon::{descriptors, privileges, sockets};
use crate::ffi::processes::end_at_once;
use crate::isolation::process::sandbox;
use crate::isolation::{self, IsolationMode};
use crate::logging;
use crate::settings::Settings;

/// Why the agent cannot start.
type Cause = Box<dyn Display>;

/// Runs the agent until a signal stops it, or a new process replaces this one. With `--daemon` that is done by another
/// process, and this one ends when the agent serves.
pub(super) fn serve(settings: Settings) -> ExitCode {
    let inherited = match successor::inherited() {
        Ok(inherited) => inherited,
        Err(cause) => return fail(1, &format!("cannot take over what the process before has left: {cause}")),
    };
    let mut starter = Starter::default();
    if settings.process.daemon && inherited.is_none() {
        if detach::loses_standard_error() {
            warn(&"standard error is no file, so nobody will see the log: redirect it to one (2>>FILE)");
        }
        match detach::detach() {
            Ok(Side::Starter(Ok(()))) => return ExitCode::SUCCESS,
            Ok(Side::Starter(Err(cause))) => return fail(1, &cause),
            Ok(Side::Agent(agent)) => starter = agent,
            Err(cause) => return fail(1, &format!("cannot go into the background (--daemon): {cause}")),
        }
    }
    let mut waiting = Some(starter);
    match run(settings, inherited, &mut waiting) {
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
fn run(
    settings: Settings,
    inherited: Option<Inheritance>,
    starter: &mut Option<Starter>,
) -> Result<ExitCode, Cause> {
    let is_successor = inherited.is_some();
    let (left, held) = inherited.map_or((None, None), |left| (Some(left.sockets), left.pid_file));
    let mut pid_file = match (&settings.process.pid_file, held) {
        (Some(path), Some(held)) => Some(PidFile::inherit(held, path).map_err(boxed)?),
        (Some(path), None) => Some(PidFile::create(path).map_err(boxed)?),
        (None, _) => None,
    };
    let addresses = settings.listen.iter().chain(&settings.agent_check);
    let (mut bound, mut files) = sockets::bind(addresses, left).map_err(boxed)?;
    let successor = match settings.isolation {
        IsolationMode::Thread => Some(Successor::new(&bound, pid_file.as_ref()).map_err(boxed)?),
        IsolationMode::Process => None,
    };
    let agent_check = settings.agent_check.as_ref().and_then(|_| bound.pop());
    if !is_successor {
        privileges::give_up(&settings.process).map_err(boxed)?;
        if let Some(root) = &settings.process.chroot {
            files.enter(root);
            pid_file.iter_mut().for_each(|file| file.enter(root));
        }
    }
    let sources = settings.rules.clone().with_folder(settings.apps.as_deref()).map_err(boxed)?;
    let (log, last_words) = logging::start(settings.debug);
    descriptors::raise(&log);
    if let Some(number) = pid_file.as_ref().and_then(PidFile::stale) {
        info!(log, "the process that the pid file named is gone, the file is taken over"; "process" => number);
    }
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
    let applications = Applications::of(&rules.sources);
    let agent = Arc::new(ModSecurityAgent::new(isolation, applications, settings.agent.clone()));
    let settings = Arc::new(settings);
    let starter = starter.take().unwrap_or_default();
    let start = Start { sockets: bound, agent_check, starter, successor, tainted };
    let system = System::new();
    let ended = system.block_on(async {
        let service = Service::start(settings, agent, rules, start, &log)?;
        Ok::<_, std::io::Error>(service.ended().await)
    });
    Ok(match ended {
        Ok(Ending::Stopped) => {
            info!(log, "stopped");
            ExitCode::SUCCESS
        }
        Ok(Ending::Abandoned) => {
            drop((last_words, files, pid_file));
            // The end of a process by `main` waits for engines.
            end_at_once(1)
        }
        Ok(Ending::Failed(cause)) => {
            error!(log, "{}", NOT_STARTED; "reason" => ?cause);
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
