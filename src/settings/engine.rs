//! The settings of the engines: rules, isolation, limits, and what becomes of messages that no engine inspects.

use std::time::Duration;

use actors::spop::Limits;
use actors::spop::frame::MIN_FRAME_SIZE;
use nix::unistd::geteuid;

use super::arguments::Arguments;
use super::{BadOption, SettingsError, app, log, number, on_error, time};
use crate::agent::AgentSettings;
use crate::agent::policy::{Truncated, UnknownApplication};
use crate::agent::recycling::Recycling;
use crate::isolation::process::sandbox::{EngineUser, Ids, SandboxSettings};
use crate::isolation::{EngineLimits, IsolationMode};
use crate::message::answer::Policy;
use crate::message::block_page::BlockPage;
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::sources::{RuleSource, RuleSources};
use crate::rules::version::EngineVersion;

/// The shortest `--engine-limit` and `--stall-limit`. The watchdog measures every 20 ms, too rarely for a shorter limit.
pub(crate) const MIN_ENGINE_LIMIT: Duration = Duration::from_millis(100);

/// The largest `--responses`. No machine has memory for more transactions.
const MAX_RESPONSES: usize = 1_000_000;

/// Returns which rules to load, and into which engine.
///
/// # Errors
/// The first of `--engine` and `--app` that is wrong.
pub(super) fn rules(arguments: &Arguments) -> Result<RuleSources, BadOption> {
    Ok(RuleSources {
        engine: version(arguments.engine.as_deref())?,
        default: match arguments.rules.is_empty() {
            true => RuleSource::Default,
            false => RuleSource::Files(arguments.rules.clone()),
        },
        applications: app::parse_all(&arguments.app)?,
    })
}

/// Returns the version with this number, or the default one without a number.
///
/// # Errors
/// When the program was built without that version.
fn version(number: Option<&str>) -> Result<EngineVersion, BadOption> {
    let default = EngineVersion::BUILT.first().copied();
    let version = number.map_or(default, EngineVersion::of_number);
    version.filter(|version| EngineVersion::BUILT.contains(version)).ok_or_else(|| {
        let built: Vec<_> = EngineVersion::BUILT.iter().map(|version| version.number().to_string()).collect();
        let number = number.unwrap_or_default();
        BadOption(format!(
            "--engine: {number:?} is none that this program was built with ({})",
            built.join(", ")
        ))
    })
}

/// Returns where engines run.
///
/// # Errors
/// When the value is neither process nor thread, or is thread while `--max-requests` is given.
pub(super) fn isolation(arguments: &Arguments) -> Result<IsolationMode, BadOption> {
    match arguments.isolation.as_deref().unwrap_or("process") {
        "process" => Ok(IsolationMode::Process),
        "thread" if max_requests(arguments)? > 0 => {
            let cause = "--max-requests: engines in threads (--isolation thread) have no process to replace";
            Err(BadOption(cause.to_owned()))
        }
        "thread" if arguments.engine_user.is_some() => {
            let cause = "--engine-user: engines in threads (--isolation thread) have the agent's user";
            Err(BadOption(cause.to_owned()))
        }
        "thread" => Ok(IsolationMode::Thread),
        other => Err(BadOption(format!("--isolation: {other:?} is neither process nor thread"))),
    }
}

/// Returns the limits of one engine of this tree.
///
/// # Errors
/// The first of `--engine-limit`, `--stall-limit`, `--responses` and `--response-ttl` that is wrong.
pub(super) fn limits(arguments: &Arguments, tree: &actors::TreeSettings) -> Result<EngineLimits, BadOption> {
    let limit = |option: &str, word: &str| match time::parse(option, word)? {
        limit if limit < MIN_ENGINE_LIMIT => {
            Err(BadOption(format!("{option}: {word:?} is less than {MIN_ENGINE_LIMIT:?}")))
        }
        limit => Ok(limit),
    };
    // What is not done by then is answered already, and an engine that goes on with it keeps others waiting.
    let cpu = match &arguments.engine_limit {
        Some(word) => limit("--engine-limit", word)?,
        None => tree.deadline.max(MIN_ENGINE_LIMIT),
    };
    let stall = limit("--stall-limit", arguments.stall_limit.as_deref().unwrap_or("2s"))?;
    let responses = arguments.responses.as_deref().unwrap_or("0");
    let responses = number::parse("--responses", responses, 0, MAX_RESPONSES)?;
    let ttl = time::parse("--response-ttl", arguments.response_ttl.as_deref().unwrap_or("60s"))?;
    // Requests spread over all workers, so each engine has an equal share of the transactions.
    let count = responses.div_ceil(tree.workers);
    let engines = match isolation(arguments)? {
        IsolationMode::Process => 1,
        IsolationMode::Thread => tree.workers,
    };
    Ok(EngineLimits {
        cpu,
        stall,
        responses: RetentionLimits { count, ttl, engines },
        sandbox: sandbox(arguments)?,
    })
}

/// What engine processes may do.
///
/// # Errors
/// When there is no such user, or engines cannot become it.
fn sandbox(arguments: &Arguments) -> Result<SandboxSettings, BadOption> {
    let name = arguments.engine_user.as_deref();
    match arguments.sandbox.as_deref().unwrap_or("on") {
        "on" => {}
        "off" if name.is_some() => {
            let cause = "--engine-user: engines that are not confined (--sandbox off) have the agent's user";
            return Err(BadOption(cause.to_owned()));
        }
        "off" => return Ok(SandboxSettings::OFF),
        other => return Err(BadOption(format!("--sandbox: {other:?} is neither on nor off"))),
    }
    // Engines of an agent that becomes another user are that user's, too: it cannot give them a third one.
    let becomes_another =
        arguments.user.as_deref().and_then(Ids::find).is_some_and(|ids| !ids.user.is_root());
    let user = match (name, geteuid()) {
        (None, own) if own.is_root() && !becomes_another => EngineUser::Default(Ids::of_nobody()),
        (None, _) => EngineUser::Own,
        (Some(name), own) => {
            let ids = Ids::find(name);
            let ids = ids.ok_or_else(|| BadOption(format!("--engine-user: there is no user {name:?}")))?;
            match ids.user == own {
                true => EngineUser::Own,
                false if own.is_root() => EngineUser::Chosen(ids),
                false => {
                    let cause = format!(
                        "--engine-user {name}: only an agent that starts as root can give engines another user"
                    );
                    return Err(BadOption(cause));
                }
            }
        }
    };
    Ok(SandboxSettings { is_on: true, user })
}

/// Returns the value of `--max-requests`; 0 is no limit.
///
/// # Errors
/// When the value is not a number.
fn max_requests(arguments: &Arguments) -> Result<u32, BadOption> {
    number::parse("--max-requests", arguments.max_requests.as_deref().unwrap_or("0"), 0, u32::MAX)
}

/// Returns the agent's settings. The block page must fit into an answer of one frame, whose size `frames` limits.
///
/// # Errors
/// The first option that is wrong, or the block page that cannot be read.
pub(super) fn agent(
    arguments: &Arguments,
    name: String,
    responses: RetentionLimits,
    workers: usize,
    frames: &Limits,
) -> Result<AgentSettings, SettingsError> {
    let room = frames.max_frame_size.saturating_sub(MIN_FRAME_SIZE) as usize;
    let block_page = arguments.block_page.as_deref().map(|path| {
        let page = BlockPage::read(path, room);
        page.map_err(|cause| SettingsError::BlockPage {
            setting: "--block-page".to_owned(),
            path: path.to_owned(),
            cause,
        })
    });
    Ok(AgentSettings {
        matches: log::matches(arguments)?,
        answers: Policy {
            name,
            on_error: on_error::parse(arguments.on_error.as_deref().unwrap_or("unset"))?,
            block_page: block_page.transpose()?,
        },
        truncated: match arguments.truncated.as_deref().unwrap_or("inspect") {
            "inspect" => Truncated::Inspect,
            "deny" => Truncated::Deny,
            "error" => Truncated::Error,
            other => {
                let cause = format!("--truncated: {other:?} is neither inspect, deny nor error");
                return Err(BadOption(cause).into());
            }
        },
        responses,
        recycling: Recycling { max_requests: max_requests(arguments)?, workers },
        unknown_application: match arguments.unknown_app.as_deref().unwrap_or("default") {
            "default" => UnknownApplication::Default,
            "error" => UnknownApplication::Error,
            other => {
                let cause = format!("--unknown-app: {other:?} is neither default nor error");
                return Err(BadOption(cause).into());
            }
        },
    })
}
