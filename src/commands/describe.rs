//! The log lines before the program serves: version, engine and rules, and warnings about settings that may be mistakes.

use slog::{Logger, info, warn};

use crate::ffi::rules::RuleEngine;
use crate::message::block_page::BlockPage;
use crate::settings::Settings;
use crate::{modsecurity::load::Summary, rules::sources::RuleSource};

/// Logs the version, the engine and the rules; `summaries` has the default rules first, then those of each application.
pub(super) fn describe(log: &Logger, settings: &Settings, summaries: &[Summary]) {
    info!(log, "starting"; "version" => env!("CARGO_PKG_VERSION"),
        "engine" => %settings.rules.engine);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = settings.tree.workers;
    for ((application, source), summary) in settings.rules.each().zip(summaries) {
        let log = &match application {
            Some(name) => log.new(slog::o!("app" => name.to_owned())),
            None => log.clone(),
        };
        describe_rules(log, &source, summary, settings.limits.responses.count > 0);
    }
    if workers > 4 * cores || workers < cores {
        info!(log, "the number of workers is far from that of the cores"; "workers" => workers, "cores" => cores);
    }
    let page = settings.agent.answers.block_page.as_ref();
    for element in page.map(BlockPage::broken_elements).unwrap_or_default() {
        warn!(log, "the block page is shown on one line, which changes an element that has more"; "element" => element);
    }
    for name in &settings.unknown_variables {
        warn!(log, "unknown environment variable"; "name" => name);
    }
}

/// Logs one set of rules, and warns when the rules do not deny or do not see bodies.
fn describe_rules(log: &Logger, source: &RuleSource, summary: &Summary, with_responses: bool) {
    info!(log, "rules loaded"; "rules_in_files" => summary.rules.in_files, "rules_in_engine" => summary.rules.in_engine,
        "rules_removed" => summary.rules.removed, "from" => %source);
    match summary.engine {
        RuleEngine::On => {}
        RuleEngine::DetectionOnly => {
            warn!(log, "the rules detect only, nothing will be denied (SecRuleEngine DetectionOnly)");
        }
        RuleEngine::Off => warn!(log, "the rules are off, nothing will be inspected (no SecRuleEngine On)"),
    }
    if *source == RuleSource::Default {
        return;
    }
    if !summary.request_body_access {
        warn!(log, "request bodies will not be inspected (no SecRequestBodyAccess On)");
    }
    if with_responses && !summary.response_body_access {
        warn!(log, "response bodies will not be inspected (no SecResponseBodyAccess On)");
    }
}
