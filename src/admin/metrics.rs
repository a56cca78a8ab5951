//! `/metrics`: all counters in the text format of Prometheus, or as OpenMetrics for who asks for that.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::stats::{BOUNDS_US, EndCause, Stage};
use actors::{FailureKind, WorkerState};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelValue, LabelValueEncoder, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::http::Answer;
use super::state::{AdminState, Running};

/// The beginning of each name.
const PREFIX: &str = "modsecurity_spoa";

/// The metrics.
pub(super) fn answer(state: &Arc<AdminState>, headers: &HeaderMap) -> Answer {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_open = accepted.any(|value| value.contains("application/openmetrics-text"));
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Scrape(Arc::clone(state))));
    let mut metrics = String::new();
    if text::encode(&mut metrics, &registry).is_err() {
        return Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain",
            "the metrics cannot be written\n",
        );
    }
    match is_open {
        true => {
            Answer::new(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics)
        }
        false => Answer::new(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", plain(&metrics)),
    }
}

/// The same in the older text format, in which a counter's help and type stand under its whole name, `_total` included.
fn plain(metrics: &str) -> String {
    let lines: Vec<_> = metrics.lines().filter(|line| *line != "# EOF").collect();
    let mut plain = String::with_capacity(metrics.len() + 1024);
    for (place, line) in lines.iter().enumerate() {
        let is_counter = |line: &str| line.starts_with("# TYPE ") && line.ends_with(" counter");
        // The line of the help stands before that of the type.
        let belongs = if line.starts_with("# HELP ") { lines.get(place + 1) } else { Some(line) };
        let mut words = line.splitn(4, ' ');
        match (
            belongs.is_some_and(|line| is_counter(line)),
            words.next(),
            words.next(),
            words.next(),
            words.next(),
        ) {
            (true, Some(hash), Some(word), Some(name), Some(rest)) => {
                // Writing to a String does not fail.
                let _ = writeln!(plain, "{hash} {word} {name}_total {rest}");
            }
            _ => {
                let _ = writeln!(plain, "{line}");
            }
        }
    }
    plain
}

/// What is read at each scrape.
struct Scrape(Arc<AdminState>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

/// A label's value, escaped as the formats want it.
struct Text(String);

impl EncodeLabelValue for Text {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => encoder.write_str("\\\\")?,
                '"' => encoder.write_str("\\\"")?,
                '\n' => encoder.write_str("\\n")?,
                other => encoder.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The labels of a sample.
type Labels = Vec<(&'static str, Text)>;

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name, Text(value.to_owned()))).collect()
}

/// Writes metrics.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counters(
        &mut self,
        name: &'static str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            counter(&mut metric, &labels, value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &'static str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(Labels::new(), value)])
    }

    fn gauges(
        &mut self,
        name: &'static str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                metric.encode_gauge(&value)?;
            } else {
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn gauge(&mut self, name: &'static str, help: &str, value: f64) -> fmt::Result {
        self.gauges(name, help, [(Labels::new(), value)])
    }

    /// The program itself, and its rules.
    fn program(&mut self, state: &AdminState) -> fmt::Result {
        let build = labels([("version", env!("CARGO_PKG_VERSION")), ("engine", &state.engine)]);
        self.gauges("build_info", "Versions of the agent and of its engine, always 1", [(build, 1.0)])?;
        self.gauge("start_time_seconds", "When the agent started, in Unix time", unix(state.started))?;
        let ready = f64::from(u8::from(state.readiness().is_ok()));
        self.gauge("ready", "1 when requests are inspected, as /ready says", ready)?;
        let logs = state.logs.counts();
        let missing = logs.iter().flat_map(|log| {
            let missing = [("limit", log.limited), ("queue", log.dropped), ("write", log.lost)];
            missing.map(|(cause, count)| (labels([("target", &log.target), ("cause", cause)]), count))
        });
        let help =
            "Records that are missing in a log: beyond --log-limit, more than were written, or not writable";
        self.counters("log_records_dropped", help, missing)?;
        let rules = state.rules_in_use();
        self.gauge("rules", "Rules in use, in all sets together", rules.count as f64)?;
        let reloads = [("success", &state.reloads), ("failure", &state.failed_reloads)];
        let reloads = reloads.map(|(result, count)| (labels([("result", result)]), count.get()));
        self.counters("reloads", "Reloads of the rules, by result", reloads)?;
        let succeeded = f64::from(u8::from(rules.failure.is_none()));
        self.gauge(
            "reload_last_successful",
            "1 when the last reload succeeded, or none was tried",
            succeeded,
        )?;
        let loaded = rules.loaded.map_or(0.0, unix);
        self.gauge(
            "rules_loaded_timestamp_seconds",
            "When the rules in use were loaded, in Unix time",
            loaded,
        )?;
        let time = rules.reload_time.map_or(0.0, |time| time.as_secs_f64());
        self.gauge("reload_last_duration_seconds", "How long the last reload took", time)
    }

    /// What HAProxy asked, and was told.
    fn messages(&mut self, Running { tree, agent }: &Running) -> fmt::Result {
        let told: Vec<_> = agent.counters().told().collect();
        let kind = |of_responses: bool| {
            let rows = told.iter().filter(move |(_, is_response, ..)| *is_response == of_responses);
            rows.map(|(app, _, verdict, count)| (labels([("app", app), ("verdict", verdict)]), *count))
        };
        self.counters("requests", "Requests that were inspected, by application and verdict", kind(false))?;
        self.counters("responses", "Responses that were inspected, by application and verdict", kind(true))?;
        let failed = FailureKind::ALL
            .map(|kind| (labels([("cause", kind.as_str())]), tree.stats().not_inspected(kind).get()));
        self.counters(
            "not_inspected",
            "Messages that were answered without having been inspected, by cause",
            failed,
        )?;
        let rules = &agent.counters().rules;
        let hits = rules.get().into_iter().map(|(rule, hits)| (labels([("rule", &rule.to_string())]), hits));
        let hits = hits.chain([(labels([("rule", "other")]), rules.others())]);
        self.counters(
            "rule_hits",
            "Matches of each rule that asks to be logged; other: of those beyond 1024 rules",
            hits,
        )?;
        let counters = agent.counters();
        self.counter(
            "truncated_bodies",
            "Messages of whose body HAProxy sent only the beginning",
            counters.truncated.get(),
        )?;
        let lost = counters.audit_losses.get();
        self.counter("audit_records_lost", "Audit records that the engine could not write", lost)
    }

    fn times(&mut self, Running { tree, .. }: &Running) -> fmt::Result {
        let help =
            "Time of a message: in the queue, with the engine, and as a whole, from its arrival to its ACK";
        let mut metric = self.0.encode_descriptor("duration_seconds", help, None, MetricType::Histogram)?;
        for stage in Stage::ALL {
            let seen = tree.stats().stage(stage).get();
            // The last bucket has no bound.
            let bounds = BOUNDS_US.iter().map(|&bound| bound as f64 / 1e6).chain([f64::MAX]);
            let buckets: Vec<_> = bounds.zip(seen.buckets).collect();
            let labels = labels([("stage", stage.as_str())]);
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                seen.sum.as_secs_f64(),
                seen.count(),
                &buckets,
                None,
            )?;
        }
        self.gauge("queue_depth", "Messages that wait for a worker", tree.queue_depth() as f64)?;
        self.gauge("queue_limit", "Messages that may wait for a worker", tree.queue_limit() as f64)
    }

    fn workers(&mut self, Running { tree, .. }: &Running) -> fmt::Result {
        let workers = tree.workers();
        let states = WorkerState::ALL.map(|state| {
            let count = workers.iter().filter(|worker| worker.state == state).count();
            (labels([("state", state.as_str())]), count as f64)
        });
        self.gauges("workers", "Workers, by what they do", states)?;
        let oldest = workers.iter().filter_map(|worker| worker.busy_for).max().unwrap_or(Duration::ZERO);
        let help = "How long the engine that has been busy longest has had its request";
        self.gauge("oldest_request_age_seconds", help, oldest.as_secs_f64())?;
        let ends =
            EndCause::ALL.map(|cause| (labels([("cause", cause.as_str())]), tree.stats().ends(cause).get()));
        let help = "Restarts of workers, by cause; request and idle are crashes of engines";
        self.counters("worker_restarts", help, ends)?;
        let help = "Times that what engines are made from was replaced, because restarts did not help";
        self.counter("rebuilds", help, tree.stats().rebuilds.get())?;
        self.counter("quarantined", "Requests that were put into quarantine", tree.stats().quarantined.get())
    }

    fn links(&mut self, Running { tree, .. }: &Running) -> fmt::Result {
        let stats = tree.stats();
        self.gauge("open_links", "Links of HAProxy that are open", tree.links() as f64)?;
        self.counter("links", "Links that were accepted", stats.links.get())?;
        let help = "Links that were closed because their peer broke the protocol";
        self.counter("links_rejected", help, stats.links_rejected.get())?;
        self.counter("health_checks", "Health checks that were answered", stats.health_checks.get())?;
        self.counter("received_bytes", "Bytes that were read from links", stats.bytes_read.get())?;
        self.counter("sent_bytes", "Bytes that were written to links", stats.bytes_written.get())
    }
}

fn counter(metric: &mut MetricEncoder<'_>, labels: &Labels, value: u64) -> fmt::Result {
    const NONE: Option<&Exemplar<NoLabelSet, f64>> = None;
    if labels.is_empty() {
        metric.encode_counter(&value, NONE)
    } else {
        metric.encode_family(labels)?.encode_counter(&value, NONE)
    }
}

/// Seconds since 1970.
fn unix(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        writer.program(&self.0)?;
        match self.0.running() {
            Some(running) => {
                writer.messages(running)?;
                writer.times(running)?;
                writer.workers(running)?;
                writer.links(running)
            }
            None => Ok(()),
        }
    }
}
