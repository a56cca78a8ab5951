//! What the log says of a verdict.

use slog::{KV, Logger, Record, Serializer, info, o};

use crate::message::HttpMessage;
use crate::message::quoted::Quoted;
use crate::message::verdict::{RequestSummary, Verdict};

/// Lines that the matches of one message may take in the log. The line of a denial names all rules in any case.
const MAX_MATCH_LINES: usize = 16;

/// The request that a response answers.
impl KV for RequestSummary {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // Last first: that is the order of slog's pairs.
        serializer.emit_arguments("uri", &format_args!("{}", Quoted(&self.uri)))?;
        serializer.emit_str("client", &self.client)
    }
}

/// Tells the log of a verdict, if there is anything to tell.
pub(super) fn record(message: &HttpMessage, verdict: &Verdict, log: &Logger) {
    let with_request;
    let log = match &verdict.answers {
        Some(answered) if !verdict.matches.is_empty() || verdict.intervention.is_some() => {
            with_request = log.new(o!(answered.clone()));
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
            "status" => intervention.status, "rules" => verdict.rule_ids(), "score" => verdict.score(),
            "message" => %Quoted(&verdict.message));
    }
    for found in verdict.matches.iter().take(MAX_MATCH_LINES) {
        info!(log, "rule matched"; message, "rule" => found.rule, "severity" => found.severity(),
            "message" => %Quoted(&found.message), "data" => %Quoted(&found.data), "tags" => %Quoted(&found.tags),
            "source" => &found.source);
    }
    let unsaid = verdict.matches.len().saturating_sub(MAX_MATCH_LINES) as u64 + verdict.more_matches;
    if unsaid > 0 {
        info!(log, "more rules matched"; "id" => message.transaction(), "rules" => unsaid);
    }
}
