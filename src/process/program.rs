//! The program's life: check, bind, load, run, stop.
//!
//! Whatever can be wrong with the operator's wishes is found before the first thread starts, and is one line.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

use actix::{Recipient, System};
use slog::{Logger, error, info, warn};

use crate::agent::{Isolation, ModSecurityAgent};
use crate::ffi::fault;
use crate::isolation;
use crate::isolation::process::Keeper;
use crate::isolation::thread::Threads;
use crate::modsecurity::Rules;
use crate::modsecurity::load::Summary;
use crate::process::describe::describe;
use crate::process::service::{End, Program, Tainted, lock};
use crate::process::successor::Successor;
use crate::process::{descriptors, logger, sockets};
use crate::rules::version::Version;
use crate::settings::{self, Command, Settings};

/// The name in messages.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Runs the program: 0 when it did what it was asked for, 1 when it could not, 2 when it was asked wrongly.
pub fn run() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if isolation::process::invoked_as_zygote(&words) {
        return ExitCode::from(isolation::process::run_zygote(&words) as u8);
    }
    let engines: Vec<_> = Version::BUILT.iter().map(ToString::to_string).collect();
    let version = format!("{} ({})", env!("CARGO_PKG_VERSION"), engines.join(", "));
    match settings::read(words, std::env::vars_os(), &version) {
        Ok(Command::Print(text)) => say(text.trim_end()),
        Ok(Command::Run(settings)) if settings.check => check(&settings),
        Ok(Command::Run(settings)) => serve(*settings),
        Err(error) => fail(2, &error),
    }
}

/// Prints what was asked for. Whoever has read enough of it may go.
fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(1, &format!("cannot print: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

fn fail(status: u8, cause: &dyn Display) -> ExitCode {
    // Without anybody to read it the status has to do.
    let _ = writeln!(io::stderr(), "{NAME}: {cause}");
    ExitCode::from(status)
}

fn check(settings: &Settings) -> ExitCode {
    match Rules::load(&settings.rules) {
        Ok((_, summaries)) => {
            let lines = settings.rules.each().zip(summaries).map(|((application, source), summary)| {
                let of = application.map(|name| format!(" for {name}")).unwrap_or_default();
                format!("rules fine{of}: {}; {source}", summary.rules)
            });
            say(&lines.collect::<Vec<_>>().join("\n"))
        }
        Err(error) => fail(1, &error),
    }
}

fn serve(settings: Settings) -> ExitCode {
    let (sockets, files) = match sockets::bind(&settings.listen) {
        Ok(bound) => bound,
        Err(error) => return fail(1, &error),
    };
    let (log, last_words) = logger::start(settings.debug);
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
        let started = Keeper::start(&settings.rules, settings.responses, log);
        let (keeper, summaries) = started.map_err(boxed)?;
        return Ok((Isolation::Process(Arc::new(keeper), settings.engine_limit), summaries));
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
