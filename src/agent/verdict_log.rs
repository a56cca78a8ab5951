//! Log lines of verdicts: the denial, each rule that matched, and how many more did.

use slog::{KV, Logger, Record, Serializer, info, o};

use crate::message::HttpMessage;
use crate::message::quoted::Quoted;
use crate::message::verdict::{RequestSummary, Verdict};

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

/// Logs a verdict that denies or has matches; any other leaves no line.
pub(super) fn record(message: &HttpMessage, verdict: &Verdict, log: &Logger) {
    let with_request;
    let log = match &verdict.answers {
        Some(request) if !verdict.matches.is_empty() || verdict.intervention.is_some() => {
            with_request = log.new(o!(request.clone()));
            &with_request
        }
        _ => log,
    };
    if let Some(intervention) = &verdict.intervention {
        let what = match (message, message.options().detect_only) {
            (HttpMessage::Request(_), false) => "request denied",
            (HttpMessage::Response(_), false) => "response denied",
            (HttpMessage::Request(_), true) => "request would be denied, HAProxy wants detection only",
            (HttpMessage::Response(_), true) => "response would be denied, HAProxy wants detection only",
        };
        info!(log, "{}", what; message, "action" => intervention.action.name(),
            "status" => intervention.status, "rules" => verdict.rule_ids(), Score(verdict.anomaly_score),
            "message" => %Quoted(&verdict.message));
    }
    for found in verdict.matches.iter().take(MAX_MATCH_LINES) {
        info!(log, "rule matched"; message, "rule" => found.rule, "severity" => found.severity(),
            "message" => %Quoted(&found.message), "data" => %Quoted(&found.data), "tags" => %Quoted(&found.tags),
            "source" => &found.source);
    }
    let unsaid = verdict.matches.len().saturating_sub(MAX_MATCH_LINES) as u64 + verdict.more_matches;
    if unsaid > 0 {
        info!(log, "more rules matched"; "id" => message.transaction(), "matches" => unsaid);
    }
}
