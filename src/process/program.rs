//! The program's life: check, bind, load, run, stop.
//!
//! Whatever can be wrong with the operator's wishes is found before the first thread starts, and is one line.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient, System};
use actix_rt::signal::unix::{Signal, SignalKind, signal};
use actors::{Renewed, Root, Socket, Stop, TreeEvent};
use slog::{Logger, error, info, warn};

use crate::engine::application::load_all;
use crate::engine::process::Keeper;
use crate::engine::thread::Threads;
use crate::engine::{self, Isolation, ModSecurityAgent};
use crate::ffi::fault;
use crate::ffi::v3::{self, Summary};
use crate::process::describe::describe;
use crate::process::reload::{self, Reload, Reloaded};
use crate::process::successor::Successor;
use crate::process::{logger, sockets};
use crate::settings::{self, Command, Settings};

/// The name in messages.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Runs the program: 0 when it did what it was asked for, 1 when it could not, 2 when it was asked wrongly.
pub fn run() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if engine::process::invoked_as_zygote(&words) {
        return ExitCode::from(engine::process::run_zygote(&words) as u8);
    }
    let version = format!("{} (libmodsecurity {})", env!("CARGO_PKG_VERSION"), v3::compiled_version());
    match settings::read(words, std::env::vars_os(), &version) {
        Ok(Command::Print(text)) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Command::Run(settings)) if settings.check => check(&settings),
        Ok(Command::Run(settings)) => serve(*settings),
        Err(error) => fail(2, &error),
    }
}

fn fail(status: u8, cause: &dyn Display) -> ExitCode {
    eprintln!("{NAME}: {cause}");
    ExitCode::from(status)
}

fn check(settings: &Settings) -> ExitCode {
    match load_all(&settings.rules) {
        Ok((_, summaries)) => {
            for ((application, source), summary) in settings.rules.each().zip(summaries) {
                match application {
                    None => println!("rules fine: {} rules; {source}", summary.rules),
                    Some(name) => println!("rules fine for {name}: {} rules; {source}", summary.rules),
                }
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &error),
    }
}

fn serve(settings: Settings) -> ExitCode {
    let (sockets, files) = match sockets::bind(&settings.listen) {
        Ok(bound) => bound,
        Err(error) => return fail(1, &error),
    };
    let (log, guard) = logger::start(settings.debug);
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
                drop(guard);
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

/// What is to be done when the tree has ended.
enum End {
    /// To end. The successor is kept for the case that the process is tainted, and with it the sockets stay open.
    Stop { successor: Option<Successor> },
    /// To become a new process.
    Replace(Successor),
}

impl Default for End {
    fn default() -> Self {
        Self::Stop { successor: None }
    }
}

fn lock(end: &Mutex<End>) -> MutexGuard<'_, End> {
    end.lock().unwrap_or_else(PoisonError::into_inner)
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
    let (rules, summaries) = load_all(&settings.rules).map_err(boxed)?;
    let on_taint = Box::new(move || {
        if let Some(program) = taint.get() {
            program.do_send(Tainted);
        }
    });
    let threads = Threads::new(rules, settings.responses, settings.engine_limit, on_taint);
    Ok((Isolation::Thread(Arc::new(threads)), summaries))
}

/// The actor above Root: turns signals into what the tree is to do, and the end of the tree into the end of the program.
struct Program {
    root: Addr<Root<ModSecurityAgent>>,
    settings: Arc<Settings>,
    agent: Arc<ModSecurityAgent>,
    reloading: Reloading,
    /// What to do when the tree has ended.
    end: Arc<Mutex<End>>,
    log: Logger,
}

/// Whether the rules are being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reloading {
    No,
    Yes,
    /// They may have changed since that began.
    Again,
}

impl Program {
    fn start(
        settings: Arc<Settings>,
        agent: Arc<ModSecurityAgent>,
        sockets: Vec<Socket>,
        end: Arc<Mutex<End>>,
        log: &Logger,
    ) -> io::Result<Addr<Self>> {
        let root = Root::new(settings.tree, Arc::clone(&agent), sockets, log.clone())?;
        let signals = SIGNALS.map(|(kind, what)| Ok((signal(kind)?, what)));
        let signals = signals.into_iter().collect::<io::Result<Vec<_>>>()?;
        Ok(Self::create(|ctx| {
            for (signals, what) in signals {
                Self::watch(signals, what, ctx);
            }
            let root = root.spawn(ctx.address().recipient());
            Self { root, settings, agent, reloading: Reloading::No, end, log: log.clone() }
        }))
    }

    /// Waits for the next of these signals, deals with it, and waits again.
    fn watch(mut signals: Signal, what: OnSignal, ctx: &mut Context<Self>) {
        let next = async move {
            signals.recv().await;
            signals
        };
        ctx.spawn(wrap_future::<_, Self>(next).map(move |signals, program: &mut Self, ctx| {
            match what {
                OnSignal::Stop(name) => {
                    // Closes the sockets, which nobody is to connect to any more.
                    *lock(&program.end) = End::default();
                    info!(program.log, "stopping"; "signal" => name);
                    program.root.do_send(Stop);
                }
                OnSignal::Reload(name) => {
                    info!(program.log, "reloading"; "signal" => name);
                    program.reload(ctx);
                }
            }
            Self::watch(signals, what, ctx);
        }));
    }

    fn reload(&mut self, ctx: &Context<Self>) {
        if self.reloading == Reloading::No {
            self.reloading = Reloading::Yes;
            reload::start(Arc::clone(&self.settings), self.log.clone(), ctx.address().recipient());
        } else {
            self.reloading = Reloading::Again;
        }
    }

    /// Ends the tree, to become a new process.
    fn replace(&self) {
        let mut end = lock(&self.end);
        match std::mem::take(&mut *end) {
            End::Stop { successor: Some(successor) } => *end = End::Replace(successor),
            unchanged => *end = unchanged,
        }
        drop(end);
        self.root.do_send(Stop);
    }
}

impl Handler<Reloaded> for Program {
    type Result = ();

    fn handle(&mut self, Reloaded(read): Reloaded, ctx: &mut Self::Context) {
        match read {
            Ok(Reload::Engines(isolation, summaries)) => {
                let generation = self.agent.replace(isolation);
                let rules: usize = summaries.iter().map(|summary| summary.rules).sum();
                info!(self.log, "rules reloaded"; "rules" => rules, "generation" => generation);
                self.root.do_send(Renewed);
            }
            Ok(Reload::Process) => {
                info!(self.log, "rules are right, replacing the process");
                self.replace();
            }
            Err(cause) => error!(self.log, "cannot reload, the old rules stay"; "cause" => cause),
        }
        if std::mem::replace(&mut self.reloading, Reloading::No) == Reloading::Again {
            self.reload(ctx);
        }
    }
}

/// What a signal does.
#[derive(Clone, Copy)]
enum OnSignal {
    Stop(&'static str),
    Reload(&'static str),
}

const SIGNALS: [(SignalKind, OnSignal); 3] = [
    (SignalKind::terminate(), OnSignal::Stop("SIGTERM")),
    (SignalKind::interrupt(), OnSignal::Stop("SIGINT")),
    (SignalKind::hangup(), OnSignal::Reload("SIGHUP")),
];

impl Actor for Program {
    type Context = Context<Self>;
}

impl Handler<TreeEvent> for Program {
    type Result = ();

    fn handle(&mut self, event: TreeEvent, _: &mut Self::Context) {
        match event {
            TreeEvent::Ready => {}
            TreeEvent::Stopped => System::current().stop(),
        }
    }
}

/// Tells the program that engine code has damaged the process.
#[derive(Message)]
#[rtype(result = "()")]
struct Tainted;

impl Handler<Tainted> for Program {
    type Result = ();

    fn handle(&mut self, _: Tainted, _: &mut Self::Context) {
        error!(
            self.log,
            "tainted: an engine faulted in this process; it finishes what it has and is replaced"
        );
        self.replace();
    }
}
