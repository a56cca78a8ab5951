//! An engine of either version: takes each message through the phases of its transaction, and makes the verdict.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ffi;
use crate::ffi::matches::{Match, Matches};
use crate::message::HttpMessage;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::verdict::{
    Action, AuditLosses, Intervention, RequestSummary, RuleMatch, Screened, Verdict,
};
use crate::modsecurity::audit::{self, AuditLog};
use crate::modsecurity::error::{InspectionError, LibraryError};
use crate::modsecurity::library::{Inspected, Library, Transaction};
use crate::modsecurity::load::RuleSets;
use crate::modsecurity::parked::{Parked, ParkedTransactions, RetentionLimits};
use crate::modsecurity::screening::{Before, Screener, compared};

/// The engine of one worker. The engines of all workers share the rules.
pub struct Inspector<L: Library> {
    rules: Arc<RuleSets<L>>,
    parked: ParkedTransactions<L::Transaction>,
    /// Audit records that were lost since the last verdict.
    losses: AuditLosses,
    screener: Screener,
    /// Declared last and so dropped last: the parked transactions are in this memory.
    memory: L::Memory,
}

impl<L: Library> Inspector<L> {
    /// An engine with these rules, which parks transactions within `limits`. An engine process makes it after the fork.
    ///
    /// # Errors
    /// When the library cannot be readied: it has no memory.
    pub fn new(rules: Arc<RuleSets<L>>, limits: RetentionLimits) -> Result<Self, LibraryError> {
        let memory = rules.of(None).library.prepare()?;
        Ok(Self {
            rules,
            parked: ParkedTransactions::new(limits, L::release_memory),
            losses: AuditLosses::default(),
            screener: Screener::default(),
            memory,
        })
    }

    /// Finishes parked transactions that have expired or make room for others. Returns the time until the next call is
    /// due; `None`: not before the next message.
    pub fn housekeeping(&mut self) -> Option<Duration> {
        self.parked.tidy(Instant::now(), &mut self.losses)
    }

    /// Puts a request before the screen, and before the engine unless the screen settles it.
    fn screened(&mut self, request: &Request) -> Result<Verdict, InspectionError> {
        let rules = Arc::clone(&self.rules);
        let set = rules.of(request.application.as_deref());
        // A transaction that is kept for its response must be the engine's.
        let screen = set.screen.as_ref().filter(|_| !self.parked.is_enabled());
        let application = request.application.as_deref().filter(|name| rules.knows(name));
        let compare = match self.screener.before(&rules.switch, screen, application, request) {
            Before::Settled(anomaly_score) => {
                return Ok(Verdict { anomaly_score, screened: Screened::Proven, ..Verdict::default() });
            }
            Before::Ask(screened) => {
                return self.request(request).map(|verdict| Verdict { screened, ..verdict });
            }
            Before::Compare(score) => score,
        };
        let verdict = self.request(request)?;
        let screened = compared(compare, &verdict, &rules.switch, screen);
        Ok(Verdict { screened, ..verdict })
    }

    fn request(&mut self, request: &Request) -> Result<Verdict, InspectionError> {
        let rules = self.rules.of(request.application.as_deref());
        let mut transaction = rules.library.begin(&self.memory, id(request))?;
        let denied = transaction.request(request)?;
        if denied.is_some() || !self.parked.is_enabled() {
            return close(&mut transaction, denied, 0, OF_REQUEST, (&rules.audit, &mut self.losses));
        }
        let matches = transaction.matches(0)?;
        let reported = matches.count();
        let mut verdict = verdict(&mut transaction, None, matches, OF_REQUEST);
        verdict.is_parked = true;
        let summary = RequestSummary {
            application: request.application.as_ref().map(|name| name.to_vec()),
            host: request.headers.first("host").map(<[u8]>::to_vec),
            client: request.client.to_string(),
            uri: request.uri.to_vec(),
        };
        let parked = Parked { transaction, reported, request: summary, audit: Arc::clone(&rules.audit) };
        self.parked.park(request.id.clone(), parked, Instant::now());
        Ok(verdict)
    }

    fn response(&mut self, response: &Response) -> Result<Verdict, InspectionError> {
        let parked = response.ticket().and_then(|ticket| self.parked.take(&ticket.id));
        let has_no_request = parked.is_none();
        let (mut transaction, reported, answers, audit) = match parked {
            Some(parked) => (parked.transaction, parked.reported, Some(parked.request), parked.audit),
            None => {
                let rules = self.rules.of(response.application.as_deref());
                let mut transaction = rules.library.begin(&self.memory, response.id.as_bytes())?;
                transaction.placeholder_request()?;
                // Matches of the placeholder request are no findings.
                let reported = transaction.matches(0)?.count();
                (transaction, reported, None, Arc::clone(&rules.audit))
            }
        };
        let Inspected { intervention, rewritten } = transaction.response(response)?;
        let mut verdict =
            close(&mut transaction, intervention, reported, OF_RESPONSE, (&audit, &mut self.losses))?;
        verdict.has_no_request = has_no_request;
        verdict.answers = answers;
        // A rewritten body cannot replace one of which HAProxy sent only the beginning.
        verdict.rewritten = rewritten.filter(|_| !response.truncated);
        Ok(verdict)
    }

    /// Takes a message through its phases. A request's transaction is then parked or finished, a response's finished.
    ///
    /// # Errors
    /// When the library gives up on the message, or the message has what the library cannot take. The engine goes on.
    pub fn inspect(&mut self, message: &HttpMessage) -> Result<Verdict, InspectionError> {
        let mut verdict = match message {
            HttpMessage::Request(request) => self.screened(request),
            HttpMessage::Response(response) => self.response(response),
        }?;
        verdict.audit_losses = std::mem::take(&mut self.losses);
        Ok(verdict)
    }
}

/// Bytes of the longest id that the engine can use in a file name: 255, less the date and time in front of it.
const MAX_FILE_ID: usize = 200;

/// The id of the transaction in audit logs: HAProxy's unique-id, so that audit logs and HAProxy's log can be joined, or
/// the agent's own id when HAProxy sends none that fits. A concurrent audit log uses the id as the name of a file, and
/// the engine silently leaves out a record whose file it cannot open: a client that gets a slash into the unique-id
/// could hide there.
fn id(request: &Request) -> &[u8] {
    let unique_id = request.unique_id.as_deref().filter(|id| id.len() <= MAX_FILE_ID && !id.contains(&b'/'));
    unique_id.unwrap_or(request.id.as_bytes())
}

/// Runs the logging phase, which follows whatever the other phases found, and makes the verdict. The first `reported`
/// matches are left out.
fn close(
    transaction: &mut impl Transaction,
    denied: Option<ffi::intervention::Intervention>,
    reported: usize,
    scores: Scores,
    audit: (&AuditLog, &mut AuditLosses),
) -> Result<Verdict, InspectionError> {
    let status = denied.as_ref().map(|denied| Intervention::new(denied.status, denied.url.clone()).status);
    let matches = match log(transaction, status, reported, audit) {
        Ok(matches) => matches,
        // A denial stands even if the logging phase fails.
        Err(_) if denied.is_some() => Matches::default(),
        Err(error) => return Err(error),
    };
    Ok(verdict(transaction, denied, matches, scores))
}

fn log(
    transaction: &mut impl Transaction,
    denied: Option<u16>,
    reported: usize,
    (audit, losses): (&AuditLog, &mut AuditLosses),
) -> Result<Matches, InspectionError> {
    audit::log(transaction, denied, audit, losses)?;
    transaction.matches(reported)
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
            // A rule with `nolog` is not among the matches; the engine's own text for the log has to do.
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
        // The first variable that exists; rules other than the Core Rule Set may have neither.
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

/// The names in `TX` of the Core Rule Set's anomaly score, in version 4 and in version 3 of the rule set.
type Scores = [&'static CStr; 2];
const OF_REQUEST: Scores = [c"blocking_inbound_anomaly_score", c"anomaly_score"];
const OF_RESPONSE: Scores = [c"blocking_outbound_anomaly_score", c"outbound_anomaly_score"];
