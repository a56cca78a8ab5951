//! The log lines before the program serves: version, engine and rules, and warnings about settings that may be mistakes.

use nix::unistd::geteuid;
use slog::{Logger, info, warn};

use crate::daemon::rules_report::{self, LoadedRules};
use crate::message::block_page::BlockPage;
use crate::settings::{MIN_ENGINE_LIMIT, Settings, UnknownVariable};

/// Logs the version, the engine and the rules.
pub(super) fn describe(log: &Logger, settings: &Settings, rules: &LoadedRules) {
    info!(log, # "starting", "starting"; "version" => env!("CARGO_PKG_VERSION"),
        "engine" => %settings.rules.engine);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = settings.tree.workers;
    rules_report::log_start(log, settings, rules);
    if workers > 4 * cores || workers < cores {
        info!(log, # "workers_far_from_cores", "the number of workers is far from that of the cores"; "workers" => workers, "cores" => cores);
    }
    let (engine_limit, deadline) = (settings.limits.cpu, settings.tree.deadline);
    if engine_limit > deadline.max(MIN_ENGINE_LIMIT) {
        warn!(log, # "engine_limit_above_deadline", "engines may work on after the deadline, when nobody waits for the verdict any more";
            "engine_limit_ms" => engine_limit.as_millis() as u64, "deadline_ms" => deadline.as_millis() as u64);
    }
    if let Err(error) = std::fs::read("/proc/self/stat") {
        warn!(log, # "proc_missing", "cannot read /proc, engines that stand still will not be ended"; "cause" => %error);
    }
    if geteuid().is_root() {
        warn!(
            log,
            # "running_as_root", "running as root, which the agent does not need beyond its port and its files; \
            give it another user (--user, User= of systemd, USER of a container)"
        );
    }
    let page = settings.agent.answers.block_page.as_ref();
    for element in page.map(BlockPage::broken_elements).unwrap_or_default() {
        warn!(log, # "block_page_on_one_line", "the block page is shown on one line, which changes an element that has more"; "element" => element);
    }
    for UnknownVariable { name, similar } in &settings.unknown_variables {
        match similar {
            Some(similar) => {
                warn!(log, # "unknown_variable", "unknown environment variable"; "name" => %name.escape_debug(), "did_you_mean" => similar);
            }
            None => {
                warn!(log, # "unknown_variable", "unknown environment variable"; "name" => %name.escape_debug())
            }
        }
    }
}
