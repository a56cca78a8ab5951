//! `/`: one page that shows all there is, without a script and with nothing to load.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

use actors::stats::EndCause;
use actors::{Crash, FailureKind, LinkStatus, WorkerStatus};
use askama::Template;
use hyper::StatusCode;

use super::charts;
use super::history::Totals;
use super::http::{Answer, CLOSED};
use super::state::{AdminState, Rules};
use super::status::without_query;
use crate::agent::counters::Denial;

/// Seconds after which the page is loaded again, when the reader wants that.
const REFRESH: u32 = 5;

/// The most links that are shown.
const LINKS: usize = 100;

/// The page. Every value is escaped by the template, except the charts, whose texts are the program's own.
#[derive(Template)]
#[template(path = "page.html", config = "src/admin/askama.toml")]
struct Page {
    nonce: String,
    refresh: Option<u32>,
    /// What the link that begins the refreshing asks for.
    refresh_offer: u32,
    version: &'static str,
    engine: String,
    now: String,
    uptime: String,
    problem: Option<&'static str>,
    rules: Rules,
    totals: Totals,
    latest: String,
    messages_chart: String,
    times_chart: String,
    listeners: Vec<String>,
    links: Vec<LinkStatus>,
    links_in_all: usize,
    workers: Vec<WorkerStatus>,
    queue: (usize, usize),
    restarts: Vec<(&'static str, u64)>,
    not_inspected: Vec<(&'static str, u64)>,
    truncated: u64,
    findings: Vec<(String, &'static str)>,
    denials: Vec<Denial>,
    crashes: Vec<Crash>,
}

/// The page.
pub(super) fn answer(state: &AdminState, query: Option<&str>) -> Answer {
    // A style with this value, and no other.
    let nonce = format!("{:016x}{:016x}", random(), random());
    let policy = format!("{CLOSED}; style-src 'nonce-{nonce}'; img-src data:");
    match page(state, query == Some("refresh"), nonce).render() {
        Ok(content) => Answer { status: StatusCode::OK, kind: "text/html; charset=utf-8", content, policy },
        Err(_) => {
            Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the page cannot be written\n")
        }
    }
}

fn page(state: &AdminState, refreshes: bool, nonce: String) -> Page {
    let intervals = state.history.intervals(state);
    let latest = match intervals.last() {
        Some(last) => format!(
            "Most recently {:.1} allowed, {:.1} denied and {:.1} not inspected a second",
            last.allowed, last.denied, last.failed
        ),
        None => "Nothing was measured yet".to_owned(),
    };
    let times = match intervals.iter().rev().find_map(|interval| interval.median.zip(interval.slowest)) {
        Some((median, slowest)) => {
            format!(
                "Time to the answer: most recently {:.2} ms, 99 % within {:.2} ms",
                median * 1e3,
                slowest * 1e3
            )
        }
        None => "Time to the answer: nothing was measured yet".to_owned(),
    };
    let mut page = Page {
        nonce,
        refresh: refreshes.then_some(REFRESH),
        refresh_offer: REFRESH,
        version: env!("CARGO_PKG_VERSION"),
        engine: state.engine.clone(),
        now: time(&SystemTime::now()),
        uptime: duration(&state.started.elapsed().unwrap_or_default()),
        problem: state.readiness().err(),
        rules: state.rules_in_use(),
        totals: Totals::now(state).unwrap_or_default(),
        messages_chart: charts::messages(&intervals, &latest).unwrap_or_default(),
        times_chart: charts::times(&intervals, &times).unwrap_or_default(),
        latest,
        listeners: Vec::new(),
        links: Vec::new(),
        links_in_all: 0,
        workers: Vec::new(),
        queue: (0, 0),
        restarts: Vec::new(),
        not_inspected: Vec::new(),
        truncated: 0,
        findings: Vec::new(),
        denials: Vec::new(),
        crashes: Vec::new(),
    };
    let Some(running) = state.running() else { return page };
    let (tree, stats) = (running.tree.status(), running.tree.stats());
    page.restarts = EndCause::ALL.iter().map(|cause| (cause.as_str(), stats.ends(*cause).get())).collect();
    let failed = FailureKind::ALL.iter().map(|kind| (kind.as_str(), stats.not_inspected(*kind).get()));
    page.not_inspected = failed.filter(|(_, count)| *count > 0).collect();
    page.queue = (tree.queue, tree.queue_limit);
    page.links_in_all = tree.links.len();
    page.listeners = tree.listeners;
    page.links = tree.links.into_iter().take(LINKS).collect();
    page.workers = tree.workers;
    page.crashes = tree.crashes;
    page.truncated = running.agent.counters().truncated.get();
    page.denials = running.agent.counters().denials.list();
    page.findings = running.agent.findings().iter().map(|found| (time(&found.at), found.text)).collect();
    page
}

impl Page {
    /// All restarts.
    fn restarts_in_all(&self) -> u64 {
        self.restarts.iter().map(|(_, count)| count).sum()
    }

    /// Whether anything is to be told in the section of problems.
    fn has_problems(&self) -> bool {
        let is_cut = self.truncated > 0 || !self.not_inspected.is_empty();
        self.problem.is_some() || self.rules.failure.is_some() || !self.findings.is_empty() || is_cut
    }
}

/// A number that nobody can foresee.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A length of time, in the two units that say most.
fn duration(time: &Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A moment in UTC, as 2026-11-25 02:30:00 (the civil calendar from the number of days, by eras of 400 years).
fn time(time: &SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        let at = |seconds| time(&(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)));
        assert_eq!(at(0), "1970-01-01 00:00:00");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(at(1_795_573_979), "2026-11-25 02:32:59");
        assert_eq!(at(4_107_542_399), "2100-02-28 23:59:59");
    }

    #[test]
    fn durations_have_the_units_that_matter() {
        let of = |seconds| duration(&Duration::from_secs_f64(seconds));
        assert_eq!(
            [of(0.5), of(59.0), of(61.0), of(3660.0), of(90_000.0)],
            ["500 ms", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
    }
}
