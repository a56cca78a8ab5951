//! Log lines of verdicts: the denial, each rule that matched, and how many more did.

use slog::{KV, Logger, Record, Serializer, debug, info, o};

use super::match_data::is_public;
use crate::message::HttpMessage;
use crate::message::quoted::Quoted;
use crate::message::verdict::{Intervention, RequestSummary, Verdict};

/// Lines that the matches of one message may take in the log. The line of a denial names all matched rules in any case.
const MAX_MATCH_LINES: usize = 16;

/// Logs the request that a response answers.
impl KV for RequestSummary {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // slog's pairs are in reverse order: the client stands before the URI in the log.
        serializer.emit_arguments("uri", &format_args!("{}", Quoted(&self.uri)))?;
        if let Some(host) = &self.host {
            serializer.emit_arguments("host", &format_args!("{}", Quoted(host)))?;
        }
        if let Some(application) = &self.application {
            serializer.emit_arguments("app", &format_args!("{}", Quoted(application)))?;
        }
        serializer.emit_str("client", &self.client)
    }
}

/// The anomaly score as a number. With rules that keep no score, the line has no `score`.
struct Score(Option<i64>);

impl KV for Score {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        self.0.map_or(Ok(()), |score| serializer.emit_i64("score", score))
    }
}

/// The keys of a denial.
struct Denial<'a>(&'a Intervention, &'a Verdict);

impl KV for Denial<'_> {
    fn serialize(&self, record: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        let Self(intervention, verdict) = self;
        // In reverse order, as above.
        serializer.emit_arguments("message", &format_args!("{}", Quoted(&verdict.message)))?;
        Score(verdict.anomaly_score).serialize(record, serializer)?;
        serializer.emit_str("rules", &verdict.rule_ids())?;
        serializer.emit_u16("status", intervention.status)?;
        serializer.emit_str("action", intervention.action.name())
    }
}

/// What the log has of rules that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchDetail {
    /// A record for each match.
    Full,
    /// The ids of all rules that matched, in one record.
    Ids,
    /// Nothing where the message is let through; a denial has the ids.
    None,
}

/// The data of a match, or that the log may not show it.
struct Data<'a>(&'a [u8], bool);

impl KV for Data<'_> {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        match self.1 {
            true => serializer.emit_arguments("data", &format_args!("{}", Quoted(self.0))),
            false => serializer.emit_bool("data_withheld", true),
        }
    }
}

/// Logs a verdict that denies or has matches; any other leaves no record.
pub(super) fn record(message: &HttpMessage, verdict: &Verdict, detail: MatchDetail, log: &Logger) {
    let with_request;
    let log = match &verdict.answers {
        Some(request) if !verdict.matches.is_empty() || verdict.intervention.is_some() => {
            with_request = log.new(o!(request.clone()));
            &with_request
        }
        _ => log,
    };
    if let Some(intervention) = &verdict.intervention {
        let pairs = Denial(intervention, verdict);
        match (message, message.options().detect_only) {
            (HttpMessage::Request(_), false) => {
                info!(log, # "request_denied", "request denied"; message, pairs);
            }
            (HttpMessage::Response(_), false) => {
                info!(log, # "response_denied", "response denied"; message, pairs);
            }
            (HttpMessage::Request(_), true) => {
                info!(log, # "request_would_be_denied", "request would be denied, HAProxy wants detection only";
                    message, pairs);
            }
            (HttpMessage::Response(_), true) => {
                info!(log, # "response_would_be_denied", "response would be denied, HAProxy wants detection only";
                    message, pairs);
            }
        }
    } else if detail == MatchDetail::Ids && !verdict.rules.is_empty() {
        info!(log, # "rules_matched", "rules matched"; message, "rules" => verdict.rule_ids(),
            Score(verdict.anomaly_score));
    }
    if detail == MatchDetail::Full {
        record_matches(message, verdict, log);
    }
}

/// Logs each match, up to [`MAX_MATCH_LINES`], and how many more there are.
fn record_matches(message: &HttpMessage, verdict: &Verdict, log: &Logger) {
    for found in verdict.matches.iter().take(MAX_MATCH_LINES) {
        let is_public = is_public(message, &found.data);
        info!(log, # "rule_matched", "rule matched"; message, "rule" => found.rule, "severity" => found.severity(),
            "message" => %Quoted(&found.message), Data(&found.data, is_public), "tags" => %Quoted(&found.tags),
            "source" => &found.source);
        if !is_public {
            debug!(log, # "match_data", "data of a match"; "id" => message.transaction(), "rule" => found.rule,
                Data(&found.data, true));
        }
    }
    let unsaid = verdict.matches.len().saturating_sub(MAX_MATCH_LINES) as u64 + verdict.more_matches;
    if unsaid > 0 {
        info!(log, # "more_rules_matched", "more rules matched"; "id" => message.transaction(), "matches" => unsaid);
    }
}
