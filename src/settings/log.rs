//! `--log`, `--log-level`, `--log-limit`, `--log-matches` and `--debug`: the log.

use std::ffi::OsStr;

use slog::Level;

use super::arguments::Arguments;
use super::{BadOption, number};
use crate::agent::MatchDetail;
use crate::logging::levels::{Levels, parse_level};
use crate::logging::target::{Destination, LogSettings, Target};

/// What may follow a target of `--log`, behind a comma.
pub(super) const ATTRIBUTE: &str = "level=";

/// Records of denials, matches and level debug that a target gets in a second, by default.
const DEFAULT_LIMIT: u32 = 1000;

/// The largest limit.
const MAX_LIMIT: u32 = 1_000_000;

/// Returns the targets of the log; standard error without `--log`.
///
/// # Errors
/// When an option cannot be read, or a target is named twice.
pub(super) fn check(arguments: &Arguments) -> Result<LogSettings, BadOption> {
    let levels = match (&arguments.log_level, arguments.debug) {
        (Some(_), true) => return Err(BadOption("--log-level and --debug exclude each other".to_owned())),
        (Some(text), false) => {
            Levels::parse(text).map_err(|cause| BadOption(format!("--log-level: {text:?}: {cause}")))?
        }
        (None, true) => Levels::new(Level::Debug),
        (None, false) => Levels::new(Level::Info),
    };
    let mut targets: Vec<Target> = Vec::new();
    for text in &arguments.log {
        let target = target(text, &levels)?;
        if targets.iter().any(|known| known.destination == target.destination) {
            return Err(BadOption(format!("--log: {} is named twice", target.destination)));
        }
        targets.push(target);
    }
    if targets.is_empty() {
        targets.push(Target { destination: Destination::StandardError, levels });
    }
    let limit = arguments.log_limit.as_deref();
    let limit = limit.map_or(Ok(DEFAULT_LIMIT), |limit| number::parse("--log-limit", limit, 0, MAX_LIMIT))?;
    Ok(LogSettings { targets, limit: (limit > 0).then_some(limit) })
}

/// Returns what is logged of the rules that match.
///
/// # Errors
/// When the option cannot be read.
pub(super) fn matches(arguments: &Arguments) -> Result<MatchDetail, BadOption> {
    match arguments.log_matches.as_deref() {
        None | Some("full") => Ok(MatchDetail::Full),
        Some("ids") => Ok(MatchDetail::Ids),
        Some("none") => Ok(MatchDetail::None),
        Some(other) => Err(BadOption(format!("--log-matches: {other:?} is not full, ids or none"))),
    }
}

fn target(text: &OsStr, levels: &Levels) -> Result<Target, BadOption> {
    let bad = |cause: &str| BadOption(format!("--log: {text:?}{cause}"));
    let whole = text.to_str().ok_or_else(|| bad(" is not UTF-8"))?;
    let (name, attribute) = match whole.rsplit_once(',') {
        Some((name, attribute)) => (name, Some(attribute.trim())),
        None => (whole, None),
    };
    let levels = match attribute.map(|attribute| attribute.strip_prefix(ATTRIBUTE)) {
        None => levels.clone(),
        Some(Some(level)) => Levels::new(parse_level(level).map_err(|cause| bad(&format!(": {cause}")))?),
        Some(None) => return Err(bad(": behind the comma only level=LEVEL may stand")),
    };
    let destination = Destination::parse(name).ok_or_else(|| {
        bad(" is not stderr, json:stderr, FILE, json:FILE (FILE with a /), syslog or journal")
    })?;
    Ok(Target { destination, levels })
}
