//! An engine: takes each message through the phases of its transaction, and says what came of it.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ffi;
use crate::ffi::matches::{Match, Matches};
use crate::message::HttpMessage;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::verdict::{Action, Intervention, RequestSummary, RuleMatch, Verdict};
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::library::{Inspected, Library, Transaction};
use crate::modsecurity::load::RuleSets;
use crate::modsecurity::parked::{Parked, ParkedTransactions, RetentionLimits};

/// The engine of one worker. All share the rules.
pub struct Inspector<L: Library> {
    rules: Arc<RuleSets<L>>,
    waiting: ParkedTransactions<L::Transaction>,
    /// Dropped last: what waits is in it.
    memory: L::Memory,
}

impl<L: Library> Inspector<L> {
    /// An engine with these rules; transactions wait for their response within `bounds`. In a process of its own: made
    /// after the fork.
    pub fn new(rules: Arc<RuleSets<L>>, bounds: RetentionLimits) -> Result<Self, String> {
        let memory = rules.of(None).prepare()?;
        Ok(Self { rules, waiting: ParkedTransactions::new(bounds), memory })
    }

    /// Does what there is to do when nothing is to be inspected; gives the time until there is more to do.
    pub fn housekeeping(&mut self) -> Option<Duration> {
        self.waiting.expire(Instant::now())
    }

    fn request(&mut self, request: &Request) -> Result<Verdict, InspectionError> {
        let rules = self.rules.of(request.application.as_deref());
        let mut transaction = rules.begin(&self.memory, id(request))?;
        let denied = transaction.request(request)?;
        if denied.is_some() || !self.waiting.is_possible() {
            return close(&mut transaction, denied, 0, OF_REQUEST);
        }
        let matches = transaction.matches(0)?;
        let told = matches.count();
        let mut verdict = verdict(&mut transaction, None, matches, OF_REQUEST);
        verdict.is_parked = true;
        let about = RequestSummary { client: request.client.to_string(), uri: request.uri.to_vec() };
        let kept = Parked { transaction, told, request: about, bytes: request.payload.len() };
        self.waiting.keep(request.id.clone(), kept, Instant::now());
        Ok(verdict)
    }

    fn response(&mut self, response: &Response) -> Result<Verdict, InspectionError> {
        let kept = response.ticket().and_then(|ticket| self.waiting.take(&ticket.id));
        let has_no_request = kept.is_none();
        let (mut transaction, told, answers) = match kept {
            Some(kept) => (kept.transaction, kept.told, Some(kept.request)),
            None => {
                let rules = self.rules.of(response.application.as_deref());
                let mut transaction = rules.begin(&self.memory, response.id.as_bytes())?;
                transaction.placeholder_request()?;
                let told = transaction.matches(0)?.count();
                (transaction, told, None)
            }
        };
        let Inspected { intervention, rewritten } = transaction.response(response)?;
        let mut verdict = close(&mut transaction, intervention, told, OF_RESPONSE)?;
        verdict.has_no_request = has_no_request;
        verdict.answers = answers;
        // Of a body that was cut nobody has the rest.
        verdict.rewritten = rewritten.filter(|_| !response.truncated);
        Ok(verdict)
    }

    /// Takes a message through its phases.
    pub fn inspect(&mut self, message: &HttpMessage) -> Result<Verdict, InspectionError> {
        match message {
            HttpMessage::Request(request) => self.request(request),
            HttpMessage::Response(response) => self.response(response),
        }
    }
}

/// Bytes of the longest id that the engine can make a file name of: 255, less the date and time before it.
const MAX_FILE_ID: usize = 200;

/// The transaction as audit logs name it: HAProxy's unique-id, so that they and HAProxy's own can be joined; the agent's
/// where there is none. A concurrent audit log has it in the name of a file, and the engine leaves out a record, without
/// a word, whose file it cannot open: so whoever can put a slash into the unique-id must not get his way.
fn id(request: &Request) -> &[u8] {
    let unique_id = request.unique_id.as_deref().filter(|id| id.len() <= MAX_FILE_ID && !id.contains(&b'/'));
    unique_id.unwrap_or(request.id.as_bytes())
}

/// The logging phase, which runs whatever the others found, and the verdict on all but the first `told` matches.
fn close(
    transaction: &mut impl Transaction,
    denied: Option<ffi::intervention::Intervention>,
    told: usize,
    scores: Scores,
) -> Result<Verdict, InspectionError> {
    let status = denied.as_ref().map(|denied| Intervention::new(denied.status, denied.url.clone()).status);
    let matches = match log(transaction, status, told) {
        Ok(matches) => matches,
        // A denial stands even if it could not be logged.
        Err(_) if denied.is_some() => Matches::default(),
        Err(error) => return Err(error),
    };
    Ok(verdict(transaction, denied, matches, scores))
}

fn log(
    transaction: &mut impl Transaction,
    denied: Option<u16>,
    told: usize,
) -> Result<Matches, InspectionError> {
    transaction.log(denied)?;
    transaction.matches(told)
}

fn verdict(
    transaction: &mut impl Transaction,
    denied: Option<ffi::intervention::Intervention>,
    matches: Matches,
    scores: Scores,
) -> Verdict {
    let Matches { kept, dropped, rules } = matches;
    let deciding = kept.iter().rev().find(|found| found.disruptive);
    let rule = deciding.map(|found| found.rule);
    let (intervention, message) = match denied {
        Some(denied) => {
            let mut intervention = Intervention::new(denied.status, denied.url);
            let drops = denied.drops || deciding.is_some_and(|rule| rule.drops);
            if intervention.action == Action::Deny && drops {
                intervention.action = Action::Drop;
            }
            // A rule with `nolog` is not among the matches; the engine has a text of its own then.
            (Some(intervention), deciding.map(|found| found.message.clone()).or(denied.log))
        }
        None => {
            let last = kept.iter().rev().find(|found| !found.message.is_empty());
            (None, last.map(|found| found.message.clone()))
        }
    };
    Verdict {
        deciding: intervention.as_ref().and(rule),
        intervention,
        message: message.unwrap_or_default(),
        rules,
        matches: kept.into_iter().map(rule_match).collect(),
        more_matches: dropped,
        // Rules that keep none have none.
        anomaly_score: scores.iter().find_map(|name| transaction.tx_number(name)),
        ..Verdict::default()
    }
}

fn rule_match(found: Match) -> RuleMatch {
    RuleMatch {
        rule: found.rule,
        source: format!("{}:{}", String::from_utf8_lossy(&found.file), found.line),
        message: found.message,
        data: found.data,
        tags: found.tags,
        severity: found.severity,
    }
}

/// Where the Core Rule Set keeps the sum, in version 4 and in version 3.
type Scores = [&'static CStr; 2];
const OF_REQUEST: Scores = [c"blocking_inbound_anomaly_score", c"anomaly_score"];
const OF_RESPONSE: Scores = [c"blocking_outbound_anomaly_score", c"outbound_anomaly_score"];
