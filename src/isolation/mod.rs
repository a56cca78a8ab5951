//! Where engines run (in processes of their own, or in threads of the agent), and the watchdog over them.

mod gate;
pub mod process;
pub mod thread;
mod watchdog;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actors::{CauseOfEnd, Engine, EngineError, StartError};
use crossbeam::channel::Receiver;
use nix::sys::prctl;
use slog::Logger;

use crate::ffi::descriptor::close_all_on_exec;
use crate::ffi::fault;
use crate::message::HttpMessage;
use crate::message::verdict::Verdict;
use crate::modsecurity::Rules;
use crate::modsecurity::error::ApplicationError;
use crate::modsecurity::load::Summary;
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::sources::RuleSources;
use process::sandbox::SandboxSettings;
use process::{EngineProcess, ZygoteError, ZygoteHost};
use thread::{EngineThread, Threads};

/// The two forms of isolation (`--isolation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationMode {
    /// Each engine has a process of its own.
    Process,
    /// Each engine has a thread of this process.
    Thread,
}

/// The limits of each engine, wherever it runs.
#[derive(Clone, Copy, Debug)]
pub struct EngineLimits {
    /// CPU time that the engine may use for one message.
    pub cpu: Duration,
    /// Time that the engine may stand still with one message: it uses no CPU time, is not ready to run and does not wait for
    /// a disk.
    pub stall: Duration,
    /// How many transactions the engine may park for their responses, and for how long.
    pub responses: RetentionLimits,
    /// What its process may do; without meaning for one in a thread.
    pub sandbox: SandboxSettings,
}

/// Loaded rules, and the place where engines with these rules can be started. Dropping the last clone ends the place:
/// the zygote and its engines, or the rules that threads share.
#[derive(Clone)]
pub enum Isolation {
    /// Engines are processes that the zygote forks, each within these limits.
    Process(Arc<ZygoteHost>, EngineLimits),
    /// Engines are threads of this process.
    Thread(Arc<Threads>),
}

impl Isolation {
    /// Opens the log files of the rules anew, after they were moved away. Engines in processes keep the old ones: those that
    /// are started from now on have the new ones.
    pub fn reopen_logs(&self, log: &Logger) {
        match self {
            Self::Process(host, _) => host.reopen_logs(),
            Self::Thread(threads) => threads.reopen_logs(log),
        }
    }
}

/// Why the rules could not be loaded where engines are to run.
#[derive(Debug)]
pub enum IsolationError {
    /// The zygote could not be started, or could not load the rules.
    Zygote(ZygoteError),
    /// The signal handler for faults of engines could not be installed.
    Faults(io::Error),
    /// This process could not load the rules.
    Rules(ApplicationError),
}

impl fmt::Display for IsolationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zygote(error) => error.fmt(f),
            Self::Faults(error) => write!(f, "cannot watch for faults of engines: {error}"),
            Self::Rules(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for IsolationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Zygote(error) => Some(error),
            Self::Faults(error) => Some(error),
            Self::Rules(error) => Some(error),
        }
    }
}

/// Loads the rules where engines are to run. Returns a summary of the default rules, then one for each application in
/// its order. `on_taint` is called at the first fault of an engine in this process, on any thread.
///
/// # Errors
/// When the rules cannot be loaded, the zygote cannot be started, or the signal handler cannot be installed.
pub fn start(
    mode: IsolationMode,
    rules: &RuleSources,
    limits: EngineLimits,
    on_taint: impl Fn() + Send + Sync + 'static,
    log: &Logger,
) -> Result<(Isolation, Vec<Summary>), IsolationError> {
    match mode {
        IsolationMode::Process => {
            // Whoever takes over an engine must find neither links nor answers of others here. The kernel has no reason to
            // refuse it.
            let _ = prctl::set_dumpable(!limits.sandbox.is_on);
            // Nor descriptors that this program was started with and knows nothing of.
            close_all_on_exec().map_err(|error| IsolationError::Zygote(ZygoteError::Start(error)))?;
            let started = ZygoteHost::start(rules, limits.responses, limits.sandbox, log);
            let (host, summaries) = started.map_err(IsolationError::Zygote)?;
            Ok((Isolation::Process(Arc::new(host), limits), summaries))
        }
        IsolationMode::Thread => {
            // After a fault the process replaces itself by exec, and the alarm that guards that is inherited.
            fault::cancel_last_resort();
            fault::install().map_err(IsolationError::Faults)?;
            let (rules, summaries) = Rules::load(rules).map_err(IsolationError::Rules)?;
            let threads = Threads::new(rules, limits, Box::new(on_taint));
            Ok((Isolation::Thread(Arc::new(threads)), summaries))
        }
    }
}

/// The engine of one worker, wherever it runs.
pub enum AnyEngine {
    /// In a process of its own.
    Process(EngineProcess),
    /// In a thread of this process.
    Thread(EngineThread),
}

impl AnyEngine {
    /// Starts the engine of the worker with this number.
    ///
    /// # Errors
    /// When the process or the thread cannot be started, or the engine in it.
    pub fn start(worker: usize, isolation: &Isolation, log: &Logger) -> Result<Self, StartError> {
        Ok(match isolation {
            Isolation::Process(host, limits) => {
                Self::Process(EngineProcess::start(worker, Arc::clone(host), *limits, log)?)
            }
            Isolation::Thread(threads) => {
                Self::Thread(EngineThread::start(worker, Arc::clone(threads), log)?)
            }
        })
    }

    /// The pid of the engine's process; `None` for an engine in a thread.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Process(engine) => Some(engine.pid().as_raw()),
            Self::Thread(_) => None,
        }
    }

    fn engine(&self) -> &dyn Engine<Request = HttpMessage, Verdict = Verdict> {
        match self {
            Self::Process(engine) => engine,
            Self::Thread(engine) => engine,
        }
    }
}

impl Engine for AnyEngine {
    type Request = HttpMessage;
    type Verdict = Verdict;

    fn inspect(
        &mut self,
        messages: &[&HttpMessage],
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) {
        match self {
            Self::Process(engine) => engine.inspect(messages, outcome),
            Self::Thread(engine) => engine.inspect(messages, outcome),
        }
    }

    fn at_a_time(&self) -> usize {
        self.engine().at_a_time()
    }

    fn end(&self) -> Receiver<Infallible> {
        self.engine().end()
    }

    fn cause_of_end(&self) -> Option<CauseOfEnd> {
        self.engine().cause_of_end()
    }
}
