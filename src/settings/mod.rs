//! What the operator asks for, in two steps: raw words from the command line and the environment (`arguments.rs`), then
//! checked settings ([`Settings`]).

mod app;
mod arguments;
mod capability;
mod listen;
mod number;
mod on_error;
mod time;

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use actors::restart::RestartPolicy;
use actors::spop::Limits;
use actors::spop::frame::{MAX_FRAME_SIZE, MIN_FRAME_SIZE};

use crate::agent::Truncated;
use crate::agent::recycling::Recycling;
use crate::message::answer::Policy;
use crate::message::block_page::BlockPage;
use crate::modsecurity::application::{Applications, RuleSources, UnknownApplication};
use crate::modsecurity::load::RuleSource;
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::version::EngineVersion;
use arguments::{Arguments, Parsed};
pub use listen::ListenAddress;

/// What a request takes an engine at least, with rules worth loading: as many of them as fit into the deadline may wait.
const SHORTEST_SERVICE: Duration = Duration::from_millis(1);

/// Jobs that may wait for each worker whatever the deadline is.
const MIN_QUEUE_PER_WORKER: u128 = 16;

/// More jobs than it makes sense to have waiting: each may hold a frame.
const MAX_QUEUE: usize = 65_536;

/// The watchdog looks every 20 ms, so a shorter limit would mean nothing.
const MIN_ENGINE_LIMIT: Duration = Duration::from_millis(100);

/// The largest payload in fragments without `--max-payload`. HAProxy sends what its buffer holds, and that is hardly
/// ever larger.
const MAX_PAYLOAD: u32 = 1024 * 1024;

/// More workers than any machine has use for.
const MAX_WORKERS: usize = 1024;

/// More transactions than any machine has memory for.
const MAX_RESPONSES: usize = 1_000_000;

/// How long requests in flight may take when the agent is told to stop. HAProxy has given up on them by then.
const GRACE: Duration = Duration::from_secs(5);

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Log at level debug.
    pub debug: bool,
    /// Only load the rules and say what is wrong with them.
    pub check: bool,
    /// Where the rules come from.
    pub rules: RuleSources,
    /// What becomes of requests that name another application.
    pub unknown_application: UnknownApplication,
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// Where engines run.
    pub isolation: Isolation,
    /// CPU time that an engine process may use for one request.
    pub engine_limit: Duration,
    /// When engine processes are replaced.
    pub recycling: Recycling,
    /// What HAProxy is told about a request that nobody inspected, and of one that was denied.
    pub answers: Policy,
    /// What becomes of a request with a body that was cut.
    pub truncated: Truncated,
    /// Transactions that may wait for their response in each engine.
    pub responses: RetentionLimits,
    /// The supervision tree's.
    pub tree: actors::Settings,
    /// Environment variables that look as if they were meant for this program, and are not.
    pub unknown_variables: Vec<String>,
}

/// Where engines run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each in a process of its own.
    Process,
    /// Each in its worker's thread.
    Thread,
}

impl Settings {
    /// Which applications there are, and what becomes of others.
    #[must_use]
    pub fn applications(&self) -> Applications {
        let known = self.rules.applications.iter().map(|(name, _)| name.clone().into_bytes()).collect();
        Applications { known, unknown: self.unknown_application }
    }
}

/// What the words on the command line amount to.
#[derive(Debug)]
pub enum Command {
    /// To run, or to check the rules.
    Run(Box<Settings>),
    /// To print this and be done: the help or the version.
    Print(String),
}

/// A word that cannot be understood: one line, exit status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOption(pub String);

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see --help)", self.0)
    }
}

impl std::error::Error for BadOption {}

/// Reads the command line (the program's name first) and the environment.
///
/// `version` is what `--version` says behind the program's name.
pub fn read(
    words: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    version: &str,
) -> Result<Command, BadOption> {
    match arguments::parse(words, environment, version)? {
        Parsed::Print(text) => Ok(Command::Print(text)),
        Parsed::Arguments(arguments, unknown_variables) => {
            Ok(Command::Run(Box::new(check(*arguments, unknown_variables)?)))
        }
    }
}

/// The version of ModSecurity of this number, if it was built.
fn engine(word: Option<&str>) -> Result<EngineVersion, BadOption> {
    let default = EngineVersion::BUILT.first().copied();
    let version = word.map_or(default, EngineVersion::of_number);
    version.filter(|version| EngineVersion::BUILT.contains(version)).ok_or_else(|| {
        let built: Vec<_> = EngineVersion::BUILT.iter().map(|version| version.number().to_string()).collect();
        let word = word.unwrap_or_default();
        BadOption(format!(
            "--engine: {word:?} is none that this program was built with ({})",
            built.join(", ")
        ))
    })
}

fn check(arguments: Arguments, unknown_variables: Vec<String>) -> Result<Settings, BadOption> {
    let or = |word: Option<String>, default: &str| word.unwrap_or_else(|| default.to_owned());
    let workers = number::parse("--workers", &or(arguments.workers, "5"), 1, MAX_WORKERS)?;
    let max_frame_size = or(arguments.max_frame_size, "16384");
    let max_frame_size = number::parse("--max-frame-size", &max_frame_size, MIN_FRAME_SIZE, MAX_FRAME_SIZE)?;
    let max_payload = match arguments.max_payload {
        // What comes in fragments may be as large as what comes in one frame, which an engine takes.
        Some(word) => number::parse("--max-payload", &word, max_frame_size, MAX_FRAME_SIZE)?,
        None => MAX_PAYLOAD.max(max_frame_size),
    };
    let default = match arguments.rules.is_empty() {
        true => RuleSource::Default,
        false => RuleSource::Files(arguments.rules),
    };
    let rules = RuleSources {
        engine: engine(arguments.engine.as_deref())?,
        default,
        applications: app::parse_all(arguments.app)?,
    };
    let deadline = time::parse("--deadline", &or(arguments.deadline, "500ms"))?;
    let throttle = time::parse("--throttle", &or(arguments.throttle, "0"))?;
    if throttle >= deadline {
        let cause =
            format!("--throttle {throttle:?} leaves no time to answer within --deadline {deadline:?}");
        return Err(BadOption(cause));
    }
    let queue = match arguments.queue {
        Some(word) => number::parse("--queue", &word, 1, MAX_QUEUE)?,
        None => {
            let service = throttle.max(SHORTEST_SERVICE);
            let each = (deadline.as_micros() / service.as_micros()).max(MIN_QUEUE_PER_WORKER);
            usize::try_from(each).unwrap_or(MAX_QUEUE).saturating_mul(workers).min(MAX_QUEUE)
        }
    };
    let engine_limit = time::parse("--engine-limit", &or(arguments.engine_limit, "2s"))?;
    if engine_limit < MIN_ENGINE_LIMIT {
        let cause = format!("--engine-limit: {engine_limit:?} is less than {MIN_ENGINE_LIMIT:?}");
        return Err(BadOption(cause));
    }
    let responses = number::parse("--responses", &or(arguments.responses, "0"), 0, MAX_RESPONSES)?;
    let ttl = time::parse("--response-ttl", &or(arguments.response_ttl, "60s"))?;
    let max_requests = number::parse("--max-requests", &or(arguments.max_requests, "0"), 0, u32::MAX)?;
    let isolation = match or(arguments.isolation, "process").as_str() {
        "process" => Isolation::Process,
        "thread" if max_requests > 0 => {
            let cause = "--max-requests: engines in threads (--isolation thread) have no process to replace";
            return Err(BadOption(cause.to_owned()));
        }
        "thread" => Isolation::Thread,
        other => return Err(BadOption(format!("--isolation: {other:?} is neither process nor thread"))),
    };
    let room = max_frame_size.saturating_sub(MIN_FRAME_SIZE) as usize;
    let block_page = arguments.block_page.map(|path| {
        let page = BlockPage::read(&path, room);
        page.map_err(|cause| BadOption(format!("--block-page {}: {cause}", path.display())))
    });
    Ok(Settings {
        debug: arguments.debug,
        check: arguments.check,
        rules,
        unknown_application: match or(arguments.unknown_app, "default").as_str() {
            "default" => UnknownApplication::Default,
            "error" => UnknownApplication::Error,
            other => return Err(BadOption(format!("--unknown-app: {other:?} is neither default nor error"))),
        },
        listen: listen::parse_all(&arguments.listen, arguments.port.as_deref())?,
        isolation,
        engine_limit,
        recycling: Recycling { max_requests, workers },
        answers: Policy {
            on_error: on_error::parse(&or(arguments.on_error, "unset"))?,
            block_page: block_page.transpose()?,
        },
        truncated: match or(arguments.truncated, "inspect").as_str() {
            "inspect" => Truncated::Inspect,
            "deny" => Truncated::Deny,
            "error" => Truncated::Error,
            other => {
                return Err(BadOption(format!("--truncated: {other:?} is neither inspect, deny nor error")));
            }
        },
        // The workers share them as they come.
        responses: RetentionLimits { count: responses.div_ceil(workers), ttl },
        tree: actors::Settings {
            workers,
            queue,
            throttle,
            deadline,
            restart: RestartPolicy::default(),
            limits: Limits {
                max_frame_size,
                max_payload: max_payload as usize,
                capabilities: capability::parse_all(&arguments.capability)?,
            },
            grace: GRACE,
        },
        unknown_variables,
    })
}
